//! Every table of the lake as types. Made by `cargo xtask generate` from schemas/tables; do not edit.

use super::typed::{recorded, table};

table! {
    /// 紐付情報取得記録
    acquisition {
        /// 取得日時
        acquired_at ACQUIRED_AT: Timestamp,
        /// 種別
        kind KIND: Text,
        /// シリアル番号
        serial SERIAL: Text,
        /// 紐付番号
        link_no LINK_NO: Int,
        /// 保険者コード
        insurer_code INSURER_CODE: Text,
        /// 保険者番号
        insurer_no INSURER_NO: Option<Text>,
        /// 入力ファイル識別
        source_file SOURCE_FILE: Text,
        /// 入力レコード番号
        source_record SOURCE_RECORD: Int,
    }
}

table! {
    /// 認定証
    certificate {
        /// 保険者コード
        insurer_code INSURER_CODE: Text,
        /// 被保険者枝番
        member_no MEMBER_NO: Text,
        /// 証通番
        cert_seq CERT_SEQ: Int,
        /// 認定証区分
        cert_kind CERT_KIND: Text,
        /// 照会の条件 none=不要 consent=同意 card_and_consent=カードと同意
        needs NEEDS: Text,
        /// 適用区分
        limit_class LIMIT_CLASS: Option<Text>,
        /// 交付年月日
        issued_on ISSUED_ON: Option<Date>,
        /// 有効開始年月日
        valid_from VALID_FROM: Date,
        /// 有効終了年月日(当日を含む)
        valid_to VALID_TO: Option<Date>,
        /// 後の認定証が始まる前日までの有効終了年月日
        in_force_to IN_FORCE_TO: Option<Date>,
        /// 長期入院該当年月日
        long_stay_on LONG_STAY_ON: Option<Date>,
        /// 認定疾病名
        disease DISEASE: Option<Text>,
        /// 自己負担限度額(円)
        self_pay SELF_PAY: Option<Int>,
        /// 更新日時
        updated_at UPDATED_AT: Timestamp,
        /// 記録開始日時
        recorded_from RECORDED_FROM: Timestamp,
        /// 記録終了日時
        recorded_to RECORDED_TO: Option<Timestamp>,
        /// 入力ファイル識別
        source_file SOURCE_FILE: Text,
        /// 入力レコード番号
        source_record SOURCE_RECORD: Int,
    }
}
recorded!(certificate);

table! {
    /// 資格確認日計
    check_daily {
        /// 集計軸
        axis AXIS: Text,
        /// 集計キー
        axis_key AXIS_KEY: Text,
        /// アクセス種別
        access_kind ACCESS_KIND: Text,
        /// 有効性確認結果
        validity VALIDITY: Option<Text>,
        /// 資格確認結果
        eligibility ELIGIBILITY: Text,
        /// 件数
        count COUNT: Int,
    }
}

table! {
    /// 資格確認ログ
    check_log {
        /// 照会通番
        inquiry_no INQUIRY_NO: Text,
        /// 確認日時
        checked_at CHECKED_AT: Timestamp,
        /// 医療機関コード
        institution_code INSTITUTION_CODE: Text,
        /// アクセス種別
        access_kind ACCESS_KIND: Text,
        /// 利用用途
        purpose PURPOSE: Option<Text>,
        /// 検証者種別
        verifier_kind VERIFIER_KIND: Option<Text>,
        /// 検証者ID
        verifier_id VERIFIER_ID: Option<Text>,
        /// シリアル番号
        serial SERIAL: Option<Text>,
        /// 有効性確認結果
        validity VALIDITY: Option<Text>,
        /// 紐付番号
        link_no LINK_NO: Option<Int>,
        /// 保険者コード
        insurer_code INSURER_CODE: Option<Text>,
        /// 保険者番号
        insurer_no INSURER_NO: Option<Text>,
        /// 資格確認結果
        eligibility ELIGIBILITY: Text,
        /// 入力ファイル識別
        source_file SOURCE_FILE: Text,
        /// 入力レコード番号
        source_record SOURCE_RECORD: Int,
    }
}

table! {
    /// 資格
    coverage {
        /// 保険者コード
        insurer_code INSURER_CODE: Text,
        /// 被保険者枝番
        member_no MEMBER_NO: Text,
        /// 資格通番
        coverage_seq COVERAGE_SEQ: Int,
        /// 紐付番号
        link_no LINK_NO: Int,
        /// 保険者番号
        insurer_no INSURER_NO: Text,
        /// 記号
        symbol SYMBOL: Option<Text>,
        /// 番号
        number NUMBER: Text,
        /// 記号(照合用)
        symbol_key SYMBOL_KEY: Text,
        /// 番号(照合用)
        number_key NUMBER_KEY: Text,
        /// 枝番
        branch_no BRANCH_NO: Option<Text>,
        /// 資格取得年月日
        acquired_on ACQUIRED_ON: Date,
        /// 資格喪失年月日
        lost_on LOST_ON: Option<Date>,
        /// 資格喪失事由
        loss_reason LOSS_REASON: Option<Text>,
        /// 証回収年月日
        card_returned_on CARD_RETURNED_ON: Option<Date>,
        /// 一般退職該当年月日
        retiree_switched_on RETIREE_SWITCHED_ON: Option<Date>,
        /// 給付開始年月日
        benefit_from BENEFIT_FROM: Option<Date>,
        /// 給付終了年月日
        benefit_to BENEFIT_TO: Option<Date>,
        /// 事業所名称
        workplace WORKPLACE: Option<Text>,
        /// 証区分
        card_kind CARD_KIND: Option<Text>,
        /// 証の有効開始年月日
        card_from CARD_FROM: Option<Date>,
        /// 証の有効終了年月日
        card_to CARD_TO: Option<Date>,
        /// 証の一部負担金割合
        card_copay CARD_COPAY: Option<Text>,
        /// 高齢受給者証の有効開始年月日
        elderly_from ELDERLY_FROM: Option<Date>,
        /// 高齢受給者証の有効終了年月日
        elderly_to ELDERLY_TO: Option<Date>,
        /// 高齢受給者証の一部負担金割合
        elderly_copay ELDERLY_COPAY: Option<Text>,
        /// 更新日時
        updated_at UPDATED_AT: Option<Timestamp>,
        /// 記号(原バイト)
        symbol_raw SYMBOL_RAW: Option<Bytes>,
        /// 番号(原バイト)
        number_raw NUMBER_RAW: Bytes,
        /// 内容の要約値(紐付番号・更新日時を除く)
        image IMAGE: Int,
        /// 記録開始日時
        recorded_from RECORDED_FROM: Timestamp,
        /// 記録終了日時
        recorded_to RECORDED_TO: Option<Timestamp>,
        /// 入力ファイル識別
        source_file SOURCE_FILE: Text,
        /// 入力レコード番号
        source_record SOURCE_RECORD: Int,
    }
}
recorded!(coverage);

table! {
    /// 手数料
    fee {
        /// 区分
        metric METRIC: Text,
        /// 支払・請求
        fee_view FEE_VIEW: Text,
        /// 年月日
        on_date ON_DATE: Option<Date>,
        /// 負担者区分
        bearer_kind BEARER_KIND: Option<Text>,
        /// 負担者コード
        bearer_code BEARER_CODE: Option<Text>,
        /// 有効性確認結果
        validity VALIDITY: Option<Text>,
        /// 回数
        count COUNT: Int,
        /// 全体回数
        total TOTAL: Int,
        /// 金額(円)
        amount AMOUNT: Option<Int>,
    }
}

table! {
    /// 祝日
    holiday {
        /// 年月日
        on_date ON_DATE: Date,
        /// 名称
        holiday_name HOLIDAY_NAME: Text,
    }
}

table! {
    /// 医療機関マスタ
    institution {
        /// 医療機関コード
        institution_code INSTITUTION_CODE: Text,
        /// 医療機関名称
        institution_name INSTITUTION_NAME: Text,
        /// 都道府県コード
        prefecture_code PREFECTURE_CODE: Text,
        /// 市町村コード
        municipality_code MUNICIPALITY_CODE: Option<Text>,
        /// 二次医療圏コード
        medical_area_code MEDICAL_AREA_CODE: Option<Text>,
        /// 病床数
        beds BEDS: Option<Int>,
        /// 規模区分
        size_class SIZE_CLASS: Option<Text>,
        /// 開設年月日
        opened_on OPENED_ON: Option<Date>,
        /// 廃止年月日
        closed_on CLOSED_ON: Option<Date>,
    }
}

table! {
    /// 保険者マスタ
    insurer {
        /// 保険者コード
        insurer_code INSURER_CODE: Text,
        /// 情報保有機関名称
        holder_name HOLDER_NAME: Text,
        /// 制度
        scheme SCHEME: Text,
        /// 保険者番号
        insurer_no INSURER_NO: Text,
        /// 保険者名称
        insurer_name INSURER_NAME: Option<Text>,
        /// 電話番号
        phone PHONE: Option<Text>,
        /// 所在地
        office_address OFFICE_ADDRESS: Option<Text>,
        /// 設立年月日
        established_on ESTABLISHED_ON: Option<Date>,
        /// 廃止年月日
        abolished_on ABOLISHED_ON: Option<Date>,
    }
}

table! {
    /// 保険者定義
    insurer_definition {
        /// 保険者コード
        insurer_code INSURER_CODE: Text,
        /// 文字コード
        encoding ENCODING: Text,
        /// 喪失日の扱い
        loss_day LOSS_DAY: Option<Text>,
        /// 12桁の記号番号を認める
        allow_number_like_my_number ALLOW_NUMBER_LIKE_MY_NUMBER: Int,
        /// コード変換(JSON)
        code_maps CODE_MAPS: Text,
    }
}

table! {
    /// 被保険者
    member {
        /// 保険者コード
        insurer_code INSURER_CODE: Text,
        /// 被保険者枝番
        member_no MEMBER_NO: Text,
        /// 紐付番号
        link_no LINK_NO: Int,
        /// 氏名
        name NAME: Option<Text>,
        /// 氏名カナ
        kana KANA: Option<Text>,
        /// 性別
        sex SEX: Option<Text>,
        /// 生年月日
        birth_date BIRTH_DATE: Option<Date>,
        /// 住所
        address ADDRESS: Option<Text>,
        /// 本人・家族の別
        dependent DEPENDENT: Option<Text>,
        /// 被保険者氏名
        insured_name INSURED_NAME: Option<Text>,
        /// 世帯主・世帯主以外の別
        householder HOUSEHOLDER: Option<Text>,
        /// 世帯主氏名
        householder_name HOUSEHOLDER_NAME: Option<Text>,
        /// 更新日時
        updated_at UPDATED_AT: Option<Timestamp>,
        /// 内容の要約値(紐付番号・更新日時を除く)
        image IMAGE: Int,
        /// 記録開始日時
        recorded_from RECORDED_FROM: Timestamp,
        /// 記録終了日時
        recorded_to RECORDED_TO: Option<Timestamp>,
        /// 入力ファイル識別
        source_file SOURCE_FILE: Text,
        /// 入力レコード番号
        source_record SOURCE_RECORD: Int,
    }
}
recorded!(member);

table! {
    /// 紐付待ち
    pending_link {
        /// 種別
        kind KIND: Text,
        /// シリアル番号
        serial SERIAL: Option<Text>,
        /// 旧シリアル番号
        old_serial OLD_SERIAL: Option<Text>,
        /// 処理通番
        request_no REQUEST_NO: Option<Text>,
        /// 初回受付日
        first_seen FIRST_SEEN: Date,
        /// 再試行回数
        tries TRIES: Int,
        /// ファイル作成日時
        created CREATED: Timestamp,
        /// 紐付番号
        link_no LINK_NO: Option<Int>,
        /// 入力ファイル識別
        source_file SOURCE_FILE: Text,
        /// 入力レコード番号
        source_record SOURCE_RECORD: Int,
    }
}

table! {
    /// レセプト
    receipt {
        /// 医療機関コード
        institution_code INSTITUTION_CODE: Text,
        /// 審査支払機関
        payer PAYER: Text,
        /// レセプト番号
        receipt_no RECEIPT_NO: Text,
        /// 診療年月
        service_month SERVICE_MONTH: Text,
        /// レセプト種別
        kind KIND: Text,
        /// 保険者番号
        insurer_no INSURER_NO: Option<Text>,
        /// 合計点数
        points POINTS: Option<Int>,
        /// 受付日時
        landed_at LANDED_AT: Timestamp,
        /// 入力ファイル識別
        source_file SOURCE_FILE: Text,
        /// 先頭行
        first_line FIRST_LINE: Int,
        /// 最終行
        last_line LAST_LINE: Int,
    }
}

table! {
    /// エラー集計
    rejection {
        /// 実行ID
        run_id RUN_ID: Text,
        /// SHA-256
        sha256 SHA256: Text,
        /// コード
        code CODE: Text,
        /// 重大度
        severity SEVERITY: Text,
        /// 件数
        count COUNT: Int,
    }
}

table! {
    /// 処理通番対応
    request_map {
        /// 処理通番
        request_no REQUEST_NO: Text,
        /// 紐付番号
        link_no LINK_NO: Int,
        /// 初回受付日
        first_seen FIRST_SEEN: Date,
        /// 入力ファイル識別
        source_file SOURCE_FILE: Text,
        /// 入力レコード番号
        source_record SOURCE_RECORD: Int,
    }
}

table! {
    /// 振替・分割
    reroute {
        /// 医療機関コード
        institution_code INSTITUTION_CODE: Text,
        /// 審査支払機関
        payer PAYER: Text,
        /// レセプト番号
        receipt_no RECEIPT_NO: Text,
        /// 枝
        part PART: Int,
        /// 確認区分
        outcome OUTCOME: Option<Text>,
        /// 理由
        reason REASON: Option<Text>,
        /// 記載の保険者番号
        claimed_insurer_no CLAIMED_INSURER_NO: Option<Text>,
        /// 確定した保険者番号
        insurer_no INSURER_NO: Option<Text>,
        /// 枝番
        branch_no BRANCH_NO: Option<Text>,
        /// 紐付番号
        link_no LINK_NO: Option<Int>,
        /// 受診日
        days DAYS: List,
        /// 点数
        points POINTS: Option<Int>,
        /// 入力ファイル識別
        source_file SOURCE_FILE: Text,
        /// 入力行
        source_line SOURCE_LINE: Int,
    }
}

table! {
    /// 失効情報
    revocation {
        /// 発行者鍵識別子
        issuer_key_id ISSUER_KEY_ID: Text,
        /// シリアル番号
        serial SERIAL: Text,
        /// 失効日時
        revoked_at REVOKED_AT: Timestamp,
        /// 失効理由
        reason REASON: Option<Text>,
        /// 配布点
        distribution_point DISTRIBUTION_POINT: Text,
        /// 無効化日時
        invalid_since INVALID_SINCE: Option<Timestamp>,
    }
}

table! {
    /// 失効履歴
    revocation_history {
        /// 発行者鍵識別子
        issuer_key_id ISSUER_KEY_ID: Text,
        /// シリアル番号
        serial SERIAL: Text,
        /// 失効日時
        revoked_at REVOKED_AT: Timestamp,
        /// 失効理由
        reason REASON: Option<Text>,
        /// 初回掲載日
        first_seen FIRST_SEEN: Date,
        /// 最終掲載日
        last_seen LAST_SEEN: Option<Date>,
        /// CRL番号(16進)
        crl_number CRL_NUMBER: Text,
        /// 無効化日時
        invalid_since INVALID_SINCE: Option<Timestamp>,
        /// 記録開始日時
        recorded_from RECORDED_FROM: Timestamp,
        /// 記録終了日時
        recorded_to RECORDED_TO: Option<Timestamp>,
    }
}
recorded!(revocation_history);

table! {
    /// 実行
    run {
        /// 実行ID
        run_id RUN_ID: Text,
        /// ジョブ
        job JOB: Text,
        /// 業務日
        business_date BUSINESS_DATE: Date,
        /// パラメータ
        parameters PARAMETERS: Text,
        /// プログラム版
        code_version CODE_VERSION: Text,
        /// 設定識別
        config_digest CONFIG_DIGEST: Text,
        /// 公開世代
        set_id SET_ID: Int,
        /// 結果
        outcome OUTCOME: Text,
    }
}

table! {
    /// 実行入力
    run_input {
        /// 実行ID
        run_id RUN_ID: Text,
        /// SHA-256
        sha256 SHA256: Text,
        /// 種別
        kind KIND: Text,
        /// 提出元
        origin ORIGIN: Option<Text>,
        /// 受付番号
        receipt_no RECEIPT_NO: Option<Int>,
        /// バイト数
        bytes BYTES: Int,
        /// 状態
        state STATE: Text,
        /// 読込件数
        rows_read ROWS_READ: Int,
        /// 受付件数
        rows_accepted ROWS_ACCEPTED: Int,
        /// エラー件数
        rows_rejected ROWS_REJECTED: Int,
        /// 重複件数
        rows_duplicate ROWS_DUPLICATE: Int,
    }
}

table! {
    /// 実行出力
    run_output {
        /// 実行ID
        run_id RUN_ID: Text,
        /// パス
        path PATH: Text,
        /// SHA-256
        sha256 SHA256: Text,
        /// 件数
        rows ROWS: Option<Int>,
        /// バイト数
        bytes BYTES: Int,
        /// 内容識別
        content_digest CONTENT_DIGEST: Option<Text>,
    }
}

table! {
    /// シリアル番号紐付
    serial_link {
        /// 発行者鍵識別子
        issuer_key_id ISSUER_KEY_ID: Text,
        /// シリアル番号
        serial SERIAL: Text,
        /// 紐付番号
        link_no LINK_NO: Int,
        /// 後継シリアル番号
        superseded_by SUPERSEDED_BY: Option<Text>,
        /// 記録開始日時
        recorded_from RECORDED_FROM: Timestamp,
        /// 記録終了日時
        recorded_to RECORDED_TO: Option<Timestamp>,
        /// 入力ファイル識別
        source_file SOURCE_FILE: Text,
        /// 入力レコード番号
        source_record SOURCE_RECORD: Int,
    }
}
recorded!(serial_link);

table! {
    /// 統計
    stat {
        /// 集計軸
        axis AXIS: Text,
        /// 集計キー
        axis_key AXIS_KEY: Text,
        /// アクセス区分
        access ACCESS: Text,
        /// 件数
        count COUNT: Int,
    }
}
