//! Reads the published `car-sensors` files, or files of the same shape written by this crate.

use std::path::Path;

use super::{CarReading, Fault, Faults, reading_csv_header, truth_csv_header};
use crate::dataset::{Error, Number, folder, for_each_line, number};

const FOLDER: &str = "car-sensors";
const READINGS: &str = "car-sensor-data.csv";
const LABELS: &str = "car-sensor-labels.csv";

/// The published readings in file order: step after step, and inside a step car after car.
/// `data_dir` is the folder which holds `car-sensors`, or that folder itself.
///
/// # Errors
/// When the folder or the file is missing, or a line is not as published.
pub fn load_readings(data_dir: &Path) -> Result<Vec<CarReading>, Error> {
    load(data_dir, READINGS, &reading_csv_header(), |row| {
        Ok(CarReading {
            time: row.number(0)?,
            car: row.car()?,
            coolant_temp: row.number(2)?,
            intake_air_temp: row.number(3)?,
            intake_air_flow_speed: row.number(4)?,
            battery_percentage: row.number(5)?,
            battery_voltage: row.number(6)?,
            current_draw: row.number(7)?,
            speed: row.number(8)?,
            engine_vibration_amplitude: row.number(9)?,
            throttle_pos: row.number(10)?,
            tire_pressure: [
                row.number(11)?,
                row.number(12)?,
                row.number(13)?,
                row.number(14)?,
            ],
            accelerometer: [
                row.number(15)?,
                row.number(16)?,
                row.number(17)?,
                row.number(18)?,
            ],
            control_unit_firmware: row.number(19)?,
        })
    })
}

/// The derived labels, in the row order of [`load_readings`].
///
/// # Errors
/// When the folder or the file is missing, or a line is not as published.
pub fn load_labels(data_dir: &Path) -> Result<Vec<Faults>, Error> {
    load(data_dir, LABELS, &truth_csv_header(), |row| {
        let mut faults = Faults::NONE;
        for (i, fault) in Fault::ALL.into_iter().enumerate() {
            if row.number::<u8>(2 + i)? != 0 {
                faults = faults.with(fault);
            }
        }
        Ok(faults)
    })
}

struct Row<'a> {
    path: &'a Path,
    line: usize,
    columns: Vec<&'a str>,
}

impl Row<'_> {
    fn number<T: Number>(&self, column: usize) -> Result<T, Error> {
        number(self.path, self.line, column + 1, self.columns[column])
    }

    fn car(&self) -> Result<u32, Error> {
        number(
            self.path,
            self.line,
            2,
            self.columns[1].trim_start_matches("car"),
        )
    }
}

fn load<T>(
    data_dir: &Path,
    file: &str,
    header: &str,
    parse: impl Fn(&Row) -> Result<T, Error>,
) -> Result<Vec<T>, Error> {
    let expected = header.split(',').count();
    let mut items = Vec::new();
    for_each_line(
        &folder(data_dir, FOLDER, file)?,
        file,
        |path, line, text| {
            if line == 1 {
                return check_header(path, text, header);
            }
            let row = Row {
                path,
                line,
                columns: text.split(',').collect(),
            };
            if row.columns.len() != expected {
                let (path, found) = (path.to_path_buf(), row.columns.len());
                return Err(Error::Columns {
                    path,
                    line,
                    found,
                    expected,
                });
            }
            items.push(parse(&row)?);
            Ok(())
        },
    )?;
    Ok(items)
}

fn check_header(path: &Path, found: &str, expected: &str) -> Result<(), Error> {
    if found == expected {
        return Ok(());
    }
    Err(Error::Header {
        path: path.to_path_buf(),
        expected: expected.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error_of(text: &str) -> String {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(LABELS), text).unwrap();
        let error = load_labels(folder.path()).unwrap_err().to_string();
        error.rsplit('/').next().unwrap().to_owned()
    }

    #[test]
    fn errors_name_file_line_and_column() {
        let header = truth_csv_header();
        assert!(error_of("a,b\n").starts_with("car-sensor-labels.csv line 1: the header"));
        assert_eq!(
            error_of(&format!("{header}\n1567606196,car1,0\n")),
            "car-sensor-labels.csv line 2: 3 columns, expected 14"
        );
        let row = "1567606196,car1,0,yes,0,0,0,0,0,0,0,0,0,false";
        assert!(error_of(&format!("{header}\n{row}\n")).contains("line 2: column 4 holds \"yes\""));
    }
}
