use std::io::Write;

use super::*;
use crate::dataset::test_data;

fn row(unit: u32, cycle: u32) -> Cycle {
    Cycle {
        unit,
        cycle,
        settings: [0.0; 3],
        sensors: [0.0; 21],
    }
}

fn folder_with(file: &str, text: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join(file), text).unwrap();
    folder
}

#[test]
fn published_files_are_read_whole() {
    let Some(data) = test_data() else { return };
    // Engines, rows, shortest and longest engine: the table of the README of the data set.
    for (subset, split, expected) in [
        (Subset::Fd001, Split::Train, (100, 20631, 128, 362)),
        (Subset::Fd001, Split::Test, (100, 13096, 31, 303)),
        (Subset::Fd002, Split::Train, (260, 53759, 128, 378)),
        (Subset::Fd002, Split::Test, (259, 33991, 21, 367)),
    ] {
        let cycles = load(&data, subset, split).unwrap();
        let lengths: Vec<usize> = engines(&cycles).map(<[Cycle]>::len).collect();
        let (min, max) = (
            *lengths.iter().min().unwrap(),
            *lengths.iter().max().unwrap(),
        );
        assert_eq!(
            (lengths.len(), cycles.len(), min, max),
            expected,
            "{subset} {split}"
        );
    }
}

#[test]
fn published_lives_belong_to_the_last_rows() {
    let Some(data) = test_data() else { return };
    for (subset, range) in [(Subset::Fd001, (7.0, 145.0)), (Subset::Fd002, (6.0, 194.0))] {
        let last = load_rul(&data, subset).unwrap();
        let found = last
            .iter()
            .fold((f64::MAX, f64::MIN), |(a, b), x| (a.min(*x), b.max(*x)));
        assert_eq!(found, range);
        let cycles = load(&data, subset, Split::Test).unwrap();
        let lives = test_rul(&cycles, &last).unwrap();
        assert_eq!(
            lives[0],
            last[0] + engines(&cycles).next().unwrap().len() as f64 - 1.0
        );
        assert_eq!(lives.last(), last.last());
    }
}

#[test]
fn the_folder_itself_is_accepted_and_the_first_row_is_as_published() {
    let Some(data) = test_data() else { return };
    let cycles = load(&data.join("cmapss"), Subset::Fd001, Split::Train).unwrap();
    let mut json = Vec::new();
    write_json(&cycles[0], 1_700_000_000_000, &mut json);
    let expected = concat!(
        r#"{"time":1700000000000,"cycle":1,"altitude":-0.0007,"mach":-0.0004,"tra":100.0,"#,
        r#""T2":518.67,"T24":641.82,"T30":1589.7,"T50":1400.6,"P2":14.62,"P15":21.61,"#,
        r#""P30":554.36,"Nf":2388.06,"Nc":9046.19,"epr":1.3,"Ps30":47.47,"phi":521.66,"#,
        r#""NRf":2388.02,"#,
        r#""NRc":8138.62,"BPR":8.4195,"farB":0.03,"htBleed":392.0,"Nf_dmd":2388.0,"#,
        r#""PCNfR_dmd":100.0,"W31":39.06,"W32":23.419}"#,
    );
    assert_eq!(String::from_utf8(json).unwrap(), expected);
}

#[test]
fn lives_count_down_to_the_last_row_of_each_engine() {
    let cycles = [row(1, 1), row(1, 2), row(1, 3), row(2, 1), row(2, 2)];
    assert_eq!(train_rul(&cycles), [2.0, 1.0, 0.0, 1.0, 0.0]);
    assert_eq!(
        test_rul(&cycles, &[10.0, 20.0]).unwrap(),
        [12.0, 11.0, 10.0, 21.0, 20.0]
    );
    let error = test_rul(&cycles, &[10.0]).unwrap_err().to_string();
    assert_eq!(
        error,
        "remaining useful lives of 1 engines given, the cycles are of 2"
    );
}

#[test]
fn gzip_and_plain_files_read_the_same() {
    let line = format!(
        "3 7 {}  \n",
        (1..=24)
            .map(|i| i.to_string())
            .collect::<Vec<_>>()
            .join(" ")
    );
    let plain = folder_with("train_FD003.txt", &line);
    let zipped = folder_with("train_FD003.txt.gz", "");
    let file = std::fs::File::create(zipped.path().join("train_FD003.txt.gz")).unwrap();
    let mut gzip = flate2::write::GzEncoder::new(file, flate2::Compression::fast());
    gzip.write_all(line.as_bytes()).unwrap();
    gzip.finish().unwrap();
    let read =
        |folder: &tempfile::TempDir| load(folder.path(), Subset::Fd003, Split::Train).unwrap();
    assert_eq!(read(&plain), read(&zipped));
    assert_eq!((read(&plain)[0].unit, read(&plain)[0].cycle), (3, 7));
    assert_eq!(read(&plain)[0].sensors[20], 24.0);
}

#[test]
fn errors_say_where_and_what_to_do() {
    let empty = tempfile::tempdir().unwrap();
    let at = empty.path().display();
    let error = load(empty.path(), Subset::Fd001, Split::Train)
        .unwrap_err()
        .to_string();
    assert_eq!(
        error,
        format!(
            "no data set cmapss found, tried {at}/cmapss and {at}; \
             set --data or FOREWARN_DATA to the data folder"
        )
    );

    std::fs::create_dir(empty.path().join("cmapss")).unwrap();
    let error = load_rul(empty.path(), Subset::Fd004)
        .unwrap_err()
        .to_string();
    assert_eq!(
        error,
        format!("file RUL_FD004.txt is missing in {at}/cmapss, plain or with .gz")
    );

    let short = folder_with("test_FD001.txt", "\n1 1 0 0 100 518.67\n");
    let error = load(short.path(), Subset::Fd001, Split::Test)
        .unwrap_err()
        .to_string();
    assert!(
        error.ends_with("test_FD001.txt line 2: 6 columns, expected 26"),
        "{error}"
    );

    let text = folder_with("RUL_FD001.txt", "112\nnan\n");
    let error = load_rul(text.path(), Subset::Fd001)
        .unwrap_err()
        .to_string();
    assert!(
        error.ends_with("line 2: column 1 holds \"nan\", which is not a finite number of its kind"),
        "{error}"
    );
}

#[test]
fn engines_are_named_by_subset_split_and_unit() {
    assert_eq!(asset_id(Subset::Fd001, Split::Test, 17), "FD001-test-17");
}
