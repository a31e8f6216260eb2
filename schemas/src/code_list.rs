//! Every code that the program raises by name. Made by `cargo xtask generate` from schemas/messages and
//! schemas/layouts; do not edit.

use crate::code::codes;

codes! {
    /// 正常
    Accepted = "000000", Ok, Record;
    /// 「レセプト種別」は4桁の半角数字で記録してください。このレセプトは受け付けていません。
    UkeReceiptKind = "190203", Error, Record;
    /// 「診療年月」に有効な年月を記録してください。このレセプトは受け付けていません。
    UkeServiceMonth = "190304", Error, Record;
    /// 「合計点数」は半角数字で記録してください。このレセプトは受け付けていません。
    UkePoints = "190506", Error, Record;
    /// 項目数がレイアウトと異なります。項目の数を確認してください。
    FieldCount = "200001", Error, Record;
    /// 引用符の使い方が正しくありません。レコードを確認してください。
    Quoting = "200002", Error, Record;
    /// XMLの要素に誤りがあります(不明な要素、重複、入れ子または表せない文字)。要素を確認してください。
    Elements = "200003", Error, Record;
    /// 資格の項目があるときは「資格通番」を設定してください。
    CoverageSeqMissing = "200101", Error, Record;
    /// 「資格通番」があるときは資格の項目を設定してください。
    CoverageSeqAlone = "200102", Error, Record;
    /// 「資格喪失年月日」は「資格取得日」以後の日付を設定してください。
    LostBeforeAcquired = "200103", Error, Record;
    /// 「資格喪失年月日」があるときは「資格喪失事由」を設定してください。
    LossReasonMissing = "200104", Error, Record;
    /// 「資格喪失事由」は「資格喪失年月日」とともに設定してください。
    LossReasonAlone = "200105", Error, Record;
    /// 「給付終了年月日」は「給付開始年月日」以後の日付を設定してください。
    BenefitReversed = "200106", Error, Record;
    /// 「証の有効終了年月日」は「証の有効開始年月日」以後の日付を設定してください。
    CardReversed = "200107", Error, Record;
    /// 「高齢受給者証の有効終了年月日」は「高齢受給者証の有効開始年月日」以後の日付を設定してください。
    ElderlyReversed = "200108", Error, Record;
    /// 市町村国保は「処理種別」に削除・紐付訂正を設定できません。更新で提出してください。
    OperationNotForScheme = "200109", Error, Record;
    /// 資格の項目があるときは「保険者番号」を設定してください。
    CoverageInsurerNoMissing = "200110", Error, Record;
    /// 資格の項目があるときは「被保険者証番号」を設定してください。
    CoverageNumberMissing = "200111", Error, Record;
    /// 資格の項目があるときは「資格取得日」を設定してください。
    CoverageAcquiredOnMissing = "200112", Error, Record;
    /// 資格の項目があるときは「証区分」を設定してください。
    CoverageCardKindMissing = "200113", Error, Record;
    /// 新旧の「シリアル番号」が同じです。旧シリアル番号を確認してください。
    LinkToItself = "200401", Error, Record;
    /// 「有効性確認結果」があるときは「シリアル番号」を設定してください。
    SerialRequired = "200501", Error, Record;
    /// 「有効終了年月日」は「有効開始年月日」以後の日付を設定してください。
    CertificatePeriod = "200801", Error, Record;
    /// 市町村国保は認定証の「処理種別」に登録・削除を設定できません。更新で提出してください。
    CertificateUpdateOnly = "200802", Error, Record;
    /// 「受付番号」は、使われた番号か、取り込みが済んだ番号より前の番号です。次の受付番号で提出してください。
    ReceiptNoUsed = "300001", Error, File;
    /// 前の受付番号のファイルが届いていません。届くまで保留します。
    ReceiptNoGap = "300002", Held, File;
    /// 保険者定義ファイルが受け付けられていないため、保留しました。定義の訂正を待って取り込みます。
    DefinitionsRefused = "300003", Held, File;
    /// 「保険者番号」がこの保険者コードの保険者マスタにありません。番号を確認するか、マスタの登録を依頼してください。
    InsurerNotInMaster = "300101", Error, Record;
    /// 「資格取得日」が保険者の廃止年月日以後です。保険者番号と資格取得日を確認してください。
    InsurerAbolished = "300102", Error, Record;
    /// 登録済みの資格です。内容を変えるときは更新で提出してください。
    AlreadyRegistered = "300103", Error, Record;
    /// 登録されていない被保険者または資格の更新です。登録で提出してください。
    NotRegistered = "300104", Error, Record;
    /// 登録されていない被保険者または資格の削除・紐付訂正です。「被保険者枝番」と「資格通番」を確認してください。
    NothingToChange = "300105", Error, Record;
    /// 登録済みの内容と同じです。変更はありません。
    SameImage = "300106", Duplicate, Record;
    /// 廃止された保険者の資格が続いています。「資格喪失年月日」を確認してください。
    CoverAfterAbolition = "300107", Warning, Record;
    /// 対応する情報が届くまで保留します。次回以降に再処理します。
    LinkWaits = "300201", Warning, Record;
    /// 「シリアル番号」は既に別の人に紐付いています。シリアル番号と紐付番号を確認してください。
    SerialOfAnother = "300202", Error, Record;
    /// 「旧シリアル番号」には既に別の後継があります。旧シリアル番号を確認してください。
    TwoSuccessors = "300203", Error, Record;
    /// 新旧の「シリアル番号」が循環しています。新旧の組を確認してください。
    LinkCycle = "300204", Error, Record;
    /// 登録済みの紐付と同じです。変更はありません。
    LinkKnown = "300205", Duplicate, Record;
    /// 「処理通番」は既に別の紐付番号に対応しています。処理通番を確認してください。
    RequestOfAnother = "300206", Error, Record;
    /// 同じ「照会通番」で内容の異なる記録が既にあります。照会通番の採番を確認してください。
    InquiryDiffers = "300501", Error, Record;
    /// 同じ「照会通番」の記録が既にあります。変更はありません。
    InquiryKnown = "300502", Duplicate, Record;
    /// 認定証の有効期間に資格がありません。「被保険者枝番」と有効期間を確認し、資格の登録の後に提出してください。
    CertificateWithoutCover = "300801", Error, Record;
    /// 有効期間が重なる認定証があるため、先の認定証は後の認定証の前日で終了します。
    CertificateCut = "300802", Warning, Record;
    /// 登録済みの認定証です。内容を変えるときは更新で提出してください。
    CertificateRegistered = "300803", Error, Record;
    /// 登録されていない認定証です。「被保険者枝番」と「証通番」を確認してください。
    CertificateNotRegistered = "300804", Error, Record;
    /// 同じ医療機関・請求年月の前のファイルに置き換えました。
    ReceiptsReplaced = "300901", Warning, File;
    /// ファイルの先頭行(H)またはXMLのルート要素が読めません。レイアウトを確認してください。
    HeaderUnreadable = "400001", Error, File;
    /// ファイルの末尾行(E)がない、件数が一致しない、または形式が正しくありません。ファイルを確認し、全体を再提出してください。
    Truncated = "400002", Error, File;
    /// ファイルの件数または大きさが上限を超えています。分割して提出してください。
    TooLarge = "400003", Error, File;
    /// ファイルの種別または版が正しくありません。先頭行(H)の種別と版を確認してください。
    KindOrVersion = "400004", Error, File;
    /// 提出元が登録されていません。保険者コードを確認してください。
    OriginUnknown = "400005", Error, File;
    /// ファイルの文字コードが提出元の設定と異なります。設定された文字コードで再提出してください。
    Encoding = "400006", Error, File;
    /// 総件数または総合計点数(GO)が明細と一致しません。明細を確認して再提出してください。
    ControlTotals = "400007", Error, File;
    /// CRLの形式が正しくありません。認証局に再発行を依頼してください。
    CrlMalformed = "400101", Error, File;
    /// CRLの署名を検証できません。届いた経路と認証局を確認し、再発行を依頼してください。
    CrlSignature = "400102", Error, File;
    /// CRLの発行者が設定された認証局ではありません。設定(crl.ca_files)と配布元を確認してください。
    CrlIssuerUnknown = "400103", Error, File;
    /// CRLの有効期間外です。認証局に最新のCRLを求めてください。
    CrlNotCurrent = "400104", Error, File;
    /// CRL番号が前回より小さいか、同じ番号で内容が異なります。認証局に確認してください。
    CrlNumberBackwards = "400105", Error, File;
    /// 前回あった配布点のCRLがありません。すべての配布点を揃えて再送してください。
    CrlPointMissing = "400106", Error, File;
    /// 同じ配布点のCRLが二つあります。一つにして再送してください。
    CrlPointTwice = "400107", Error, File;
    /// 差分CRLは受け付けません。全件のCRLを送ってください。
    CrlDelta = "400108", Error, File;
    /// CRLに未対応の重要(critical)拡張があるか、必須の拡張がありません。認証局に確認してください。
    CrlExtension = "400109", Error, File;
    /// CRLの件数の変化が設定の範囲を超えています。認証局に確認し、正しければ crl accept で採用してください。
    CrlShrinkGrowth = "400110", Error, File;
    /// CRLの一式が空です。ファイルを揃えて再送してください。
    CrlSetEmpty = "400111", Error, File;
    /// 一式の中に受け付けられないCRLがあるため、一式を採用しません。原因のCRLを差し替えて一式を再送してください。
    CrlSetRefused = "400112", Error, File;
    /// CRLの発行日時が前回より前です。認証局に最新のCRLを求めてください。
    CrlOlder = "400113", Error, File;
    /// より新しい失効情報があるため、読まずに受け取りました。対応は不要です。
    CrlPassedOver = "400114", Warning, File;
    /// CRLに同じシリアル番号が複数あります。最も早い失効日時と最も重い理由を採用します。
    CrlEntryDuplicate = "400121", Warning, File;
    /// CRLのシリアル番号が昇順ではありません。
    CrlEntryUnsorted = "400122", Warning, File;
    /// CRLに負のシリアル番号があります。どの証明書も指さないものとして扱います。
    CrlSerialNegative = "400123", Warning, File;
    /// CRLに20オクテットを超えるシリアル番号があります。
    CrlSerialOversized = "400124", Warning, File;
    /// CRLに余分な先頭オクテットを持つシリアル番号があります。
    CrlSerialNotMinimal = "400125", Warning, File;
    /// CRLに2050年より前のGeneralizedTimeがあります。
    CrlGeneralizedTime = "400126", Warning, File;
    /// CRLに使われないはずの失効理由があります。値のまま扱います。
    CrlReasonOdd = "400127", Warning, File;
    /// CRLの失効エントリの一覧が空です。
    CrlListEmpty = "400128", Warning, File;
    /// レセプトファイルの構成が正しくありません(レコード、行の長さ、改行)。
    UkeStructure = "400201", Error, File;
    /// 同じレセプト番号が二つあります。
    UkeReceiptTwice = "400202", Error, File;
    /// マスタの見出し行が正しくありません。
    MasterHeader = "400301", Error, File;
    /// マスタに誤りのある行があります。全体を取り込みません。
    MasterRows = "400302", Error, File;
    /// 翌年の祝日がありません。新しい祝日ファイルを取り込んでください。
    HolidaysYearMissing = "400303", Error, File;
    /// 個人番号の可能性がある番号が含まれています。ファイルを隔離しました。番号を取り除いて再提出してください。
    MyNumber = "900001", Error, File;
    /// 「記号」または「番号」に個人番号の可能性がある番号が含まれています。記号・番号を確認してください。
    MyNumberInKey = "900002", Error, Record;
}
