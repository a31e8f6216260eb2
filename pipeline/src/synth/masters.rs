//! Insurers and institutions of each scale, and the master files.

use super::dice::{at, count};
use super::truth::{State, Truth};
use super::world::{Institution, Insurer, World, insurer_no};
use super::{NIGHTS, Out};
use crate::base::error::{Error, Result};
use crate::text::cp932::Encoding;

/// 法別番号 and name of each 制度 that the larger scales use, in turn.
const TURN: [(&str, &str, &str); 10] = [
    ("02", "06", "健康保険組合"),
    ("02", "06", "健康保険組合"),
    ("06", "00", "市町村国保"),
    ("02", "06", "健康保険組合"),
    ("01", "01", "協会けんぽ"),
    ("06", "00", "市町村国保"),
    ("07", "39", "後期高齢者医療広域連合"),
    ("02", "06", "健康保険組合"),
    ("04", "31", "共済組合"),
    ("06", "00", "市町村国保"),
];
/// 保険者番号 that its holder gave up, and the day.
pub const ABOLISHED_ON: &str = "20260401";
/// Prefecture, 点数表 and name of the sample's institutions.
const INSTITUTIONS: [(u64, &str, &str); 12] = [
    (13, "1", "見本診療所"),
    (13, "dpc", "見本中央病院"),
    (27, "1", "例示医院"),
    (14, "1", "仮名クリニック"),
    (13, "3", "見本歯科医院"),
    (27, "3", "例示歯科"),
    (13, "4", "見本薬局"),
    (40, "4", "虚構薬局"),
    (1, "6", "想定訪問看護ステーション"),
    (13, "6", "見本訪問看護ステーション"),
    (1, "1", "想定内科"),
    (27, "dpc", "例示総合病院"),
];
const HOLIDAYS: [(&str, &str); 9] = [
    ("1/1", "元日"),
    ("2/11", "建国記念の日"),
    ("4/29", "昭和の日"),
    ("5/3", "憲法記念日"),
    ("5/4", "みどりの日"),
    ("5/5", "こどもの日"),
    ("8/11", "山の日"),
    ("11/3", "文化の日"),
    ("11/23", "勤労感謝の日"),
];

/// The sample's four insurers; the second one holds an abolished number too.
pub fn sample_insurers() -> Vec<Insurer> {
    let make = |scheme, code: String, holder: &str, numbers: &[(String, &str)], encoding, insured_code| Insurer {
        code,
        holder: holder.to_owned(),
        scheme,
        numbers: numbers.iter().map(|(number, name)| (number.clone(), (*name).to_owned())).collect(),
        encoding,
        insured_code,
    };
    let (tokyo, osaka) = (insurer_no("01", 13, 990), insurer_no("01", 27, 990));
    let (union, merged) = (insurer_no("06", 13, 990), insurer_no("06", 13, 991));
    let (first, second) = (insurer_no("00", 13, 990), insurer_no("00", 13, 991));
    let elderly = insurer_no("39", 13, 990);
    let cp932 = Encoding::Cp932;
    vec![
        make("01", tokyo.clone(), "見本協会", &[(tokyo, "見本協会東京支部"), (osaka, "見本協会大阪支部")], cp932, "1"),
        make(
            "02",
            union.clone(),
            "見本健康保険組合",
            &[(union, "見本健康保険組合"), (merged, "旧例示健康保険組合")],
            Encoding::Utf8,
            "0",
        ),
        make("06", "00130000".to_owned(), "見本都国保", &[(first, "架空区国保"), (second, "例示市国保")], cp932, "1"),
        make("07", elderly.clone(), "見本広域連合", &[(elderly, "見本後期高齢者医療広域連合")], cp932, "1"),
    ]
}

/// Insurers of the larger scales.
pub fn many_insurers(n: u64) -> Vec<Insurer> {
    (0..n)
        .map(|k| {
            let (scheme, law, name) = TURN[at(k % count(TURN.len()))];
            let number = insurer_no(law, k % 47 + 1, 900 + k / 47);
            Insurer {
                code: number.clone(),
                holder: format!("見本{name}{k}"),
                scheme,
                numbers: vec![(number, format!("見本{name}{k}"))],
                encoding: Encoding::Cp932,
                insured_code: "1",
            }
        })
        .collect()
}

/// Institutions: the sample's twelve, and as many of their kind as the scale asks for.
pub fn institutions(n: u64) -> Vec<Institution> {
    (0..n)
        .map(|k| {
            let (prefecture, fee_table, name) = INSTITUTIONS[at(k % count(INSTITUTIONS.len()))];
            let prefecture = if k < count(INSTITUTIONS.len()) { prefecture } else { k % 47 + 1 };
            let digit = if fee_table == "dpc" { "1" } else { fee_table };
            Institution {
                code: format!("{prefecture:02}{digit}9{k:06}"),
                name: format!("{name}{}", if n > 12 { k.to_string() } else { String::new() }),
                prefecture,
                fee_table,
            }
        })
        .collect()
}

/// Writes the masters of the first night.
pub fn write(world: &World, out: &mut Out, truth: &mut Truth) -> Result<()> {
    let night = NIGHTS[0];
    let mut put = |name: &str, bytes: Vec<u8>, rows: u64| {
        let path = format!("masters/{name}");
        truth.file(night, &path, "MASTER", State::Accepted, rows);
        out.write(&format!("nights/{night}/{path}"), &bytes)
    };
    let (text, rows) = insurers_csv(world);
    put("insurers.csv", text.into_bytes(), rows)?;
    let mut text = String::from(
        "institution_code,name,prefecture_code,municipality_code,medical_area_code,beds,size_class,\
         opened_on,closed_on\n",
    );
    for (k, of) in (0u64..).zip(&world.institutions) {
        let (beds, class) = match of.fee_table {
            "dpc" => ("300", "4"),
            "1" if k % 2 == 0 => ("19", "2"),
            _ => ("0", "1"),
        };
        let (code, name, prefecture, area) = (&of.code, &of.name, of.prefecture, k % 3 + 1);
        text += &format!(
            "{code},{name},{prefecture:02},{prefecture:02}10{area},{prefecture:02}0{area},{beds},{class},20100401,\n"
        );
    }
    put("institutions.csv", text.into_bytes(), count(world.institutions.len()))?;
    let mut text = "国民の祝日・休日月日,国民の祝日・休日名称\r\n".to_owned();
    for year in ["2026", "2027"] {
        for (day, name) in HOLIDAYS {
            text += &format!("{year}/{day},{name}\r\n");
        }
    }
    let bytes = Encoding::Cp932.encode(&text).ok_or_else(|| Error::failed("synth: a holiday has no code in CP932"))?;
    put("syukujitsu.csv", bytes, 18)?;
    let own: Vec<&Insurer> = world.insurers.iter().filter(|i| i.encoding == Encoding::Utf8).collect();
    let mut text =
        "# Synthetic. How files of each insurer code are read; insurers not named here send CP932.\n".to_owned();
    for insurer in &own {
        // loss_day names the default: it changes nothing and shows where it stands.
        text += &format!(
            "\n[\"{0}\"]\nencoding = \"utf-8\"\nloss_day = \"first_day_without_cover\"\n\n\
             [\"{0}\".code_maps.dependent]\n\"{1}\" = \"1\"\n",
            insurer.code, insurer.insured_code
        );
    }
    put("insurer_definitions.toml", text.into_bytes(), count(own.len()))
}

fn insurers_csv(world: &World) -> (String, u64) {
    let mut text = String::from(
        "insurer_code,holder_name,scheme,insurer_no,insurer_name,phone,address,established_on,abolished_on\n",
    );
    let mut rows = 0;
    for insurer in &world.insurers {
        for (place, (number, name)) in insurer.numbers.iter().enumerate() {
            let abolished = if insurer.scheme == "02" && place == 1 { ABOLISHED_ON } else { "" };
            let (code, holder, scheme) = (&insurer.code, &insurer.holder, insurer.scheme);
            text += &format!(
                "{code},{holder},{scheme},{number},{name},0300000000,東京都架空区見本町1-1-1,20081001,{abolished}\n"
            );
            rows += 1;
        }
    }
    (text, rows)
}
