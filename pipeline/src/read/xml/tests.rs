use std::io::Read;

use proptest::prelude::*;
use shikaku_schemas::layout;

use super::*;

const UTF8: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\r\n";
const OPEN: &str = "<SubscriberFile kind=\"SUB\" version=\"01\" origin=\"01130012\" receiptNo=\"7\" \
                    created=\"20250401093000\" count=\"2\">";
const TWO: &str = "\r\n  <!-- 2 -->\n  <Subscriber>\n    <record_no>1</record_no>\n    <name>健保　花子</name>\n    <sex/>\n  \
                   </Subscriber>\n<Subscriber><updated_at>20250401000000</updated_at><operation>1</operation></Subscriber>\n";
const CLOSE: &str = "</SubscriberFile>";

/// Field values by position with misshapen, line and byte; then how reading ended.
type Read1 = (Vec<(Vec<Vec<u8>>, bool, u64, u64)>, Result<(), String>);

/// One byte per read.
struct Single<R>(R);

impl<R: Read> Read for Single<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let n = out.len().min(1);
        self.0.read(&mut out[..n])
    }
}

fn read(source: impl Read) -> Read1 {
    let mut records = XmlRecords::new(source);
    let mut seen = Vec::new();
    let end = (|| {
        let header = records.header()?;
        seen.push(owned(&header.record()));
        records.set_layout(layout::of("SUB"));
        while records.advance()? {
            seen.push(owned(&records.current()));
        }
        Ok(())
    })();
    let end = end.map_err(|e: XmlError| format!("{e:?}"));
    if end.is_err() {
        assert!(records.advance().is_err(), "no clean end after an error");
    } else {
        assert!(!records.advance().unwrap());
    }
    (seen, end)
}

fn owned(record: &RawRecord<'_>) -> (Vec<Vec<u8>>, bool, u64, u64) {
    let fields = (0..record.len()).map(|i| record.field(i).to_vec()).collect();
    (fields, record.misshapen, record.line, record.byte)
}

fn document(body: &str) -> String {
    format!("{UTF8}{OPEN}{body}{CLOSE}")
}

/// How reading a UTF-8 file with that body ends: `ok`, or the name of the error.
fn verdict(body: &str) -> String {
    name(read(document(body).as_bytes()).1)
}

fn name(end: Result<(), String>) -> String {
    let text = end.err().unwrap_or_else(|| "ok".into());
    text.split([' ', '(', '{']).next().unwrap().to_owned()
}

/// The record of `<Subscriber>` with these children, and whether it is misshapen.
fn record(children: &[u8], encoding: &str) -> (Vec<Vec<u8>>, bool) {
    let head = format!("<?xml version='1.0' encoding='{encoding}'?>{OPEN}<Subscriber>");
    let bytes = [head.as_bytes(), children, b"</Subscriber><Subscriber/>", CLOSE.as_bytes()].concat();
    let (seen, end) = read(bytes.as_slice());
    assert_eq!(end, Ok(()), "{:?}", String::from_utf8_lossy(children));
    assert_eq!(seen.len(), 3);
    assert!(!seen[2].1, "the next record is untouched");
    assert_eq!((seen[2].0.len(), seen[2].0[1..].concat().len()), (35, 0));
    (seen[1].0.clone(), seen[1].1)
}

fn name_field() -> usize {
    layout::of("SUB").at("name") + 1
}

#[test]
fn the_documented_form_reads_as_the_csv_form_would() {
    let text = document(TWO);
    let (seen, end) = read(text.as_bytes());
    assert_eq!((end, seen.len()), (Ok(()), 3));
    let header: Vec<&[u8]> = seen[0].0.iter().map(Vec::as_slice).collect();
    assert_eq!(header, [&b"H"[..], b"SUB", b"01", b"01130012", b"7", b"20250401093000", b"2"]);
    let (first, second) = (&seen[1], &seen[2]);
    assert_eq!((first.0.len(), first.1, first.2), (35, false, 4));
    assert_eq!((first.0[0].as_slice(), first.0[1].as_slice()), (&b"D"[..], &b"1"[..]));
    assert_eq!(first.0[name_field()], "健保　花子".as_bytes());
    let at = [text.find("<Subscriber>").unwrap(), text.rfind("<Subscriber>").unwrap()];
    assert_eq!([first.3, second.3], at.map(|at| u64::try_from(at).unwrap()));
    assert_eq!((second.2, second.0[2].as_slice(), second.0[34].as_slice()), (9, &b"1"[..], &b"20250401000000"[..]));
    assert_eq!(second.0.iter().filter(|f| f.is_empty()).count(), 32, "absent elements are blank");
}

#[test]
fn encodings_are_the_declared_ones_and_no_other() {
    let header = |text: &str| XmlRecords::new(text.as_bytes()).header();
    for (name, wanted) in [("UTF-8", Encoding::Utf8), ("utf-8", Encoding::Utf8), ("Shift_JIS", Encoding::Cp932)] {
        let found = header(&format!("<?xml version='1.0' encoding='{name}' standalone='yes'?>{OPEN}")).unwrap();
        assert_eq!((found.encoding, found.bom), (wanted, false));
    }
    for name in ["Windows-31J", "CP932", "ms932", "shift_jis"] {
        let found = header(&format!("<?xml version=\"1.0\" encoding=\"{name}\"?>{OPEN}")).unwrap();
        assert_eq!(found.encoding, Encoding::Cp932);
    }
    assert_eq!(header(OPEN).unwrap().encoding, Encoding::Utf8);
    assert!(header(&format!("\u{feff}{UTF8}{OPEN}")).unwrap().bom);
    for name in ["EUC-JP", "UTF-16", ""] {
        let found = header(&format!("<?xml version=\"1.0\" encoding=\"{name}\"?>{OPEN}"));
        assert!(matches!(found, Err(XmlError::Encoding)), "{name}");
    }
}

#[test]
fn what_may_not_stand_before_the_records_is_an_unreadable_header() {
    let long = "x".repeat(MAX_ELEMENT);
    for text in [
        "".to_owned(),
        "H,SUB,01".to_owned(),
        "\u{feff}\u{feff}<SubscriberFile/>".to_owned(),
        "<Subscriber/>".to_owned(),
        "<subscriberfile/>".to_owned(),
        format!(" {UTF8}{OPEN}"),
        format!("{UTF8}{UTF8}{OPEN}"),
        format!("<?xml encoding='UTF-8'?>{OPEN}"),
        format!("<?xml version='1.0' encoding='UTF-8' encoding='Shift_JIS'?>{OPEN}"),
        format!("<?xml version='1.1'?>{OPEN}"),
        format!("{UTF8}<?xml-stylesheet href='x'?>{OPEN}"),
        format!("{UTF8}<!DOCTYPE SubscriberFile>{OPEN}"),
        format!("{UTF8}<!DOCTYPE x [<!ENTITY a \"aaaa\"><!ENTITY b \"&a;&a;\">]>{OPEN}"),
        format!("{UTF8}text{OPEN}"),
        format!("{UTF8}<!-- {} -->{OPEN}", "x".repeat(MAX_EVENT)),
        "<SubscriberFile kind='SUB' kind='SUB'>".to_owned(),
        "<SubscriberFile kind='SUB' other='1'>".to_owned(),
        "<SubscriberFile kind=SUB>".to_owned(),
        "<SubscriberFile kind='&sub;'>".to_owned(),
        "<SubscriberFile kind='S<UB'>".to_owned(),
        format!("<SubscriberFile kind='{long}'>"),
    ] {
        let (seen, end) = read(format!("{text}{CLOSE}").as_bytes());
        assert_eq!((seen.len(), name(end).as_str()), (0, "Header"), "{:.120}", text);
    }
    let header = XmlRecords::new(&b"<SubscriberFile kind='&#x53;U&#66;' origin='&lt;&amp;'>"[..]).header().unwrap();
    assert_eq!(
        (header.record().field(1), header.record().field(2), header.record().field(3)),
        (&b"SUB"[..], &b""[..], &b"<&"[..])
    );
}

#[test]
fn shift_jis_bytes_survive_as_they_are() {
    // ソ (trail 5C), ゾ (trail 5D), 外字 F040, 0x80 (no character): judged later, field by field.
    let raw = b"\x83\x5c\x83\x5d]\xf0\x40 \x80".to_vec();
    let (fields, misshapen) = record(&[b"<name>", raw.as_slice(), b"</name>"].concat(), "Shift_JIS");
    assert_eq!((&fields[name_field()], misshapen), (&raw, false));
    let (fields, _) = record(b"<name><![CDATA[\x83\x5d<&]]></name>", "Shift_JIS");
    assert_eq!(fields[name_field()], b"\x83\x5d<&");
    // A pair cut by a CDATA mark or before a reference is no character.
    assert!(record(b"<name>\x83&#x5c;</name>", "Shift_JIS").1);
    assert!(record(b"<name>\x83<![CDATA[\x5c]]></name>", "Shift_JIS").1);
    assert!(record(b"<name>\xc3<![CDATA[\xa9]]></name>", "UTF-8").1);
    // `]` as the second byte of ゾ does not end CDATA.
    let inner = [b"<?xml version='1.0' encoding='CP932'?>", OPEN.as_bytes()].concat();
    let text = [&inner, &b"<Subscriber><name><![CDATA[\x83\x5d]></name>]]></name></Subscriber>"[..], CLOSE.as_bytes()];
    assert_eq!(name(read(text.concat().as_slice()).1), "Malformed");
}

#[test]
fn references_are_the_five_names_and_numbers_in_the_files_own_encoding() {
    let value = |text: &str, encoding| {
        let (fields, misshapen) = record(format!("<name>{text}</name>").as_bytes(), encoding);
        (fields[name_field()].clone(), misshapen)
    };
    assert_eq!(value(" &lt;&gt;&amp;&quot;&apos; a&#32;", "UTF-8"), (b" <>&\"' a ".to_vec(), false));
    assert_eq!(value("&#x30bd;&#12477;", "UTF-8"), ("ソソ".as_bytes().to_vec(), false));
    assert_eq!(value("&#x30BD;&#xe000;", "Shift_JIS"), (b"\x83\x5c\xf0\x40".to_vec(), false));
    assert_eq!(value("&#x20b9f;", "Shift_JIS"), (b"\x81\xac".to_vec(), true), "no such character: the record alone");
    for bad in [
        "&nbsp;",
        "&a",
        "&;",
        "&#;",
        "&#x;",
        "&#+9;",
        "&#x+9;",
        "&#0;",
        "&#8;",
        "&#x1b;",
        "&#x7f;",
        "&#xd800;",
        "&#xffff;",
        "&#x110000;",
        "&#99999999999;",
        "&#X41;",
        "& ",
        "&&amp;",
    ] {
        assert_eq!(verdict(&format!("<Subscriber><name>{bad}</name></Subscriber>")), "Malformed", "{bad}");
    }
}

#[test]
fn unknown_repeated_and_nested_elements_cost_their_record_and_stay_visible_to_the_guard() {
    for (children, surplus) in [
        ("<note>123456789018</note>", &b"123456789018"[..]),
        ("<Name>x</Name>", b"x"),
        ("<note/>", b""),
        ("<sex>1</sex><sex>2</sex>", b"2"),
        ("<sex/><sex>2</sex>", b"2"),
        ("<note>1<b>2</b>3</note>", b"123"),
    ] {
        let (fields, misshapen) = record(children.as_bytes(), "UTF-8");
        assert_eq!((fields.len(), misshapen, fields[35].as_slice()), (36, true, surplus), "{children}");
    }
    let (fields, misshapen) = record(b"<name>a<b>c</b><b/></name><sex>1</sex>", "UTF-8");
    assert_eq!((fields.len(), misshapen, fields[name_field()].as_slice()), (35, true, &b"ac"[..]));
}

#[test]
fn comments_and_instructions_inside_a_value_are_no_text_and_part_no_number() {
    let (fields, misshapen) = record(b"<name>a<!-- c -->b</name>", "UTF-8");
    assert_eq!((fields[name_field()].as_slice(), misshapen), (&b"ab"[..], false));
    let (fields, misshapen) = record(b"<name>a<?pi c?>b</name>", "UTF-8");
    assert_eq!((fields[name_field()].as_slice(), misshapen), (&b"ab"[..], true));
    for (mark, suspicious) in [("<!-- c -->", true), ("<?pi c?>", true), ("<!---->x", false)] {
        let file = document(&format!("<Subscriber><note>123456{mark}789018</note></Subscriber>"));
        let mut records = XmlRecords::new(file.as_bytes());
        records.header().unwrap();
        records.set_layout(layout::of("SUB"));
        while records.advance().unwrap() {}
        assert_eq!(records.suspicious, suspicious, "{mark}");
    }
}

#[test]
fn what_is_not_of_the_form_refuses_the_file() {
    let record = |inner: &str| format!("<Subscriber>{inner}</Subscriber>");
    for body in [
        "x".to_owned(),
        "<Other/>".to_owned(),
        "<Subscriber a='1'/>".to_owned(),
        "<Subscriber a='1'></Subscriber>".to_owned(),
        "<!DOCTYPE x>".to_owned(),
        "<?pi x?>".to_owned(),
        "<![CDATA[ ]]>".to_owned(),
        "<!-- a -- b -->".to_owned(),
        "</Subscriber>".to_owned(),
        record("x"),
        record("&#32;"),
        record("<sex a='1'>1</sex>"),
        record("<sex a='1'/>"),
        record("<sex a>1</sex>"),
        record("<sex>1</name>"),
        record("<sex>1"),
        record("<?xml version='1.0'?>"),
        record("<a/b>1</a/b>"),
        record("<1>1</1>"),
        record("<>1</>"),
        record("<sex><b><c/></b></sex>"),
        record("<sex><b><c>1</c></b></sex>"),
        record(&"<a>".repeat(100_000)),
    ] {
        assert_eq!(verdict(&body), "Malformed", "{body:.120}");
    }
    for behind in ["x", "<a/>", "<SubscriberFile/>", "<?pi?>", "<!DOCTYPE a>", "&amp;", "</SubscriberFile>"] {
        assert_eq!(name(read(format!("{}{behind}", document("")).as_bytes()).1), "Malformed", "{behind}");
    }
    assert_eq!(name(read(format!("{}\n<!-- end -->\n", document("")).as_bytes()).1), "ok");
    assert_eq!(name(read(&b"<SubscriberFile/>"[..]).1), "ok");
    assert_eq!(name(read(&b"<SubscriberFile/><a/>"[..]).1), "Malformed");
}

#[test]
fn limits_are_exact_and_an_endless_anything_is_bounded() {
    let value = |n: usize| format!("<Subscriber><name>{}</name></Subscriber>", "a".repeat(n));
    assert_eq!(verdict(&value(MAX_ELEMENT)), "ok");
    assert_eq!(verdict(&value(MAX_ELEMENT + 1)), "TooLarge");
    let split = format!("<Subscriber><name>{}&lt;</name></Subscriber>", "<![CDATA[a]]>".repeat(MAX_ELEMENT));
    assert_eq!(verdict(&split), "TooLarge");
    let tag = |n: usize| format!("<Subscriber><{}/></Subscriber>", "a".repeat(n));
    assert_eq!(verdict(&tag(MAX_ELEMENT - 3)), "ok");
    assert_eq!(verdict(&tag(MAX_ELEMENT - 2)), "TooLarge");
    assert_eq!(verdict(&format!("<Subscriber>{}</Subscriber>", "<a/>".repeat(MAX_SURPLUS))), "ok");
    assert_eq!(verdict(&format!("<Subscriber>{}</Subscriber>", "<a/>".repeat(MAX_SURPLUS + 1))), "TooLarge");
    let wide = format!("<a>{}</a>", "a".repeat(MAX_ELEMENT)).repeat(17);
    assert_eq!(verdict(&format!("<Subscriber>{wide}</Subscriber>")), "TooLarge");

    for (start, byte) in [
        ("<Subscriber><name>", b'a'),
        ("<Subscriber><name>&", b'a'),
        ("<Subscriber><name><![CDATA[", b'a'),
        ("<Subscriber><name><![CDATA[", b']'),
        ("<Subscriber><", b'a'),
        ("<Subscriber></", b'a'),
        ("<Subscriber a='", b'<'),
        ("<!--", b'-'),
        ("<!DOCTYPE ", b'<'),
        ("<!DOCTYPE a [", b'a'),
        ("<?", b'a'),
        ("", b' '),
        ("", b'a'),
        ("</SubscriberFile>", b'\n'),
    ] {
        let passed = std::cell::Cell::new(0);
        let endless = Counted(std::io::repeat(byte), &passed);
        let head = document("").replace(CLOSE, start);
        let (_, end) = read(head.as_bytes().chain(endless));
        assert_eq!(name(end), "TooLarge", "{start} {}", char::from(byte));
        assert!(passed.get() <= 3 * MAX_EVENT, "{start}: {} bytes", passed.get());
    }
}

struct Counted<'a, R>(R, &'a std::cell::Cell<usize>);

impl<R: Read> Read for Counted<'_, R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let n = self.0.read(out)?;
        self.1.set(self.1.get() + n);
        Ok(n)
    }
}

#[test]
fn a_source_that_fails_or_is_interrupted_is_told_apart() {
    struct Failing(io::ErrorKind, bool);
    impl Read for Failing {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            if self.1 && self.0 == io::ErrorKind::Interrupted {
                Ok(0)
            } else {
                self.1 = true;
                Err(self.0.into())
            }
        }
    }
    let with = |kind| name(read(document(TWO).as_bytes().chain(Failing(kind, false))).1);
    assert_eq!(with(io::ErrorKind::Interrupted), "ok");
    assert_eq!(with(io::ErrorKind::PermissionDenied), "Io");
    assert_eq!(name(read(Failing(io::ErrorKind::PermissionDenied, false)).1), "Io");
}

#[test]
fn a_file_cut_off_anywhere_never_ends_cleanly() {
    let text = document(TWO);
    for cut in 0..text.len() {
        assert!(read(&text.as_bytes()[..cut]).1.is_err(), "cut at {cut}");
    }
    assert_eq!(read(text.as_bytes()).1, Ok(()));
}

#[test]
fn xml_is_told_from_its_first_bytes() {
    assert!(is_xml(document("").as_bytes()) && is_xml("\u{feff}\n<a".as_bytes()));
    assert!(!is_xml(b"H,SUB") && !is_xml(b"") && !is_xml("\u{feff}\"<".as_bytes()));
}

/// Pieces that markup is made of, so that random files get past the first byte.
fn piece() -> impl Strategy<Value = Vec<u8>> {
    let known: Vec<&'static [u8]> = vec![
        b"<Subscriber>",
        b"</Subscriber>",
        b"<name>",
        b"</name>",
        b"<sex/>",
        b"<a b='c'>",
        b"</a>",
        b"<!--",
        b"-->",
        b"<![CDATA[",
        b"]]>",
        b"]",
        b">",
        b"<",
        b"/",
        b"&",
        b";",
        b"&lt;",
        b"&#x30bd;",
        b"&#",
        b"<!DOCTYPE",
        b"[",
        b"'",
        b"\"",
        b"<?xml ",
        b"?>",
        b"\x83\x5d",
        b"\x83",
        b"\xef\xbb\xbf",
        b"\r\n",
        b" ",
        b"1",
        b"</SubscriberFile>",
    ];
    prop_oneof![6 => proptest::sample::select(known).prop_map(<[u8]>::to_vec), 1 => any::<u8>().prop_map(|b| vec![b])]
}

proptest! {
    #[test]
    fn no_bytes_panic_and_buffer_boundaries_do_not_show(
        (declared, sjis) in (any::<bool>(), any::<bool>()),
        pieces in proptest::collection::vec(piece(), 0..40),
    ) {
        let encoding = if sjis { "Shift_JIS" } else { "UTF-8" };
        let head = format!("<?xml version='1.0' encoding='{encoding}'?>{OPEN}<Subscriber>");
        let mut bytes = if declared { head.into_bytes() } else { Vec::new() };
        bytes.extend(pieces.concat());
        prop_assert_eq!(read(Single(bytes.as_slice())), read(bytes.as_slice()));
    }

    #[test]
    fn changed_bytes_never_panic(changes in proptest::collection::vec((any::<usize>(), any::<u8>(), 0..3u8), 1..6)) {
        let mut bytes = document(TWO).into_bytes();
        for (at, byte, what) in changes {
            let at = at % bytes.len();
            match what {
                0 => bytes[at] = byte,
                1 => bytes.insert(at, byte),
                _ => drop(bytes.remove(at)),
            }
        }
        prop_assert_eq!(read(Single(bytes.as_slice())), read(bytes.as_slice()));
    }
}
