use polars::prelude::{Column, DataType, ParquetReader, SerReader as _, TimeUnit};

use super::lineage::for_tests;
use super::*;
use forewarn_pipeline::prediction::EventTimestamp;

const DAY: i64 = 86_400_000_000;

fn rows(times: &[i64]) -> DataFrame {
    let micros = DataType::Datetime(TimeUnit::Microseconds, None);
    let names: Vec<String> = times
        .iter()
        .map(|at| format!("an asset with a long name {at}"))
        .collect();
    let columns = vec![
        Column::new("asset".into(), names),
        Column::new("time".into(), times).cast(&micros).unwrap(),
        Column::new(
            "value".into(),
            times
                .iter()
                .map(|at| (at % 7 > 0).then_some(*at as f64))
                .collect::<Vec<_>>(),
        ),
    ];
    DataFrame::new(times.len(), columns).unwrap()
}

fn read(path: &Path) -> DataFrame {
    ParquetReader::new(fs::File::open(path).unwrap())
        .finish()
        .unwrap()
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = fs::read_dir(folder)
        .unwrap()
        .flat_map(|date| fs::read_dir(date.unwrap().path()).unwrap())
        .map(|file| file.unwrap().path())
        .collect();
    files.sort();
    files
}

#[test]
fn a_file_holds_what_was_appended_and_has_no_other_name_before() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("rows.parquet");
    let place = Place::of(&path).unwrap();
    let mut dataset = Dataset::create(place, rows(&[]), "time").unwrap();
    for begin in 0..5 {
        dataset.append(rows(&[begin * 10, begin * 10 + 1])).unwrap();
        dataset.send().unwrap();
    }
    assert!(!path.exists(), "it is not whole yet");
    dataset.finish(&for_tests()).unwrap();
    let expected: Vec<i64> = (0..5)
        .flat_map(|begin| [begin * 10, begin * 10 + 1])
        .collect();
    assert!(read(&path).equals_missing(&rows(&expected)));
    assert!(!dir.path().join("rows.parquet.incomplete").exists());
}

#[test]
fn a_file_without_rows_has_its_columns() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("none.parquet");
    let dataset = Dataset::create(Place::of(&path).unwrap(), rows(&[]), "time").unwrap();
    dataset.finish(&for_tests()).unwrap();
    assert!(read(&path).equals_missing(&rows(&[])));
}

#[test]
fn a_folder_has_files_by_date_in_the_order_of_the_rows() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("rows");
    let mut dataset = Dataset::create(Place::of(&path).unwrap(), rows(&[]), "time").unwrap();
    // More dates than files that are open, each of them twice.
    let dates = 100;
    for part in 0..2 {
        let times: Vec<i64> = (0..3 * dates)
            .map(|row| row % dates * DAY + 3 * part + row / dates)
            .collect();
        dataset.append(rows(&times)).unwrap();
        dataset.send().unwrap();
    }
    dataset.finish(&for_tests()).unwrap();
    let files = files(&path);
    assert!(files.len() > 100, "{} files", files.len());
    for day in 0..dates {
        let date = format!(
            "date={}",
            EventTimestamp(day * DAY)
                .to_string()
                .split('T')
                .next()
                .unwrap()
        );
        let of_date = files
            .iter()
            .filter(|file| file.parent().unwrap().ends_with(&date));
        let whole = of_date.map(|file| read(file)).reduce(|mut all, part| {
            all.vstack_mut_owned(part).unwrap();
            all
        });
        let expected: Vec<i64> = (0..6).map(|at| day * DAY + at).collect();
        assert!(whole.unwrap().equals_missing(&rows(&expected)), "{date}");
    }
    assert!(
        Place::of(&path).is_err(),
        "an earlier folder is not mixed with another one"
    );
    assert!(dir.path().join("rows.lineage.json").exists());
}
