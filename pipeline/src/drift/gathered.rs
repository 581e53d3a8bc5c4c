//! What is gathered of one variable over many rows: its moments, and how alike the rows of one asset are.
//!
//! Ten thousand rows of a hundred pumps are a hundred pumps more than they are ten thousand rows: where each pump has a
//! level of its own, another hundred pumps would have given other levels. So many independent rows are as good as all of
//! them (Kish, *Survey Sampling*, 1965):
//!
//! ```text
//!   effective = n / (1 + (m − 1) ρ)        m = Σ nᵢ² / n, rows of an asset
//!   ρ = (B − W) / (B + (n₀ − 1) W)         intraclass correlation; B, W: mean squares between and within assets
//!   n₀ = (n − Σ nᵢ² / n) / (k − 1)         one-way analysis of variance (Fisher, 1925; Donner, 1986)
//! ```
//!
//! Rows of one asset that follow each other are alike beyond that; what is said of chance is therefore a lower bound.

use hashbrown::HashMap;

/// Assets whose sums are kept. Those of so many tell how alike their rows are.
const MOST: usize = 50_000;

/// Assets by name, numbered as they come, with the rows of each.
#[derive(Debug, Default)]
pub(super) struct Assets {
    places: HashMap<compact_str::CompactString, usize>,
    rows: Vec<u64>,
}

impl Assets {
    /// Takes a row of one, and gives its number.
    pub fn take(&mut self, name: &str) -> usize {
        if let Some(place) = self.places.get(name) {
            self.rows[*place] += 1;
            return *place;
        }
        let place = self.places.len();
        self.places.insert(name.into(), place);
        self.rows.push(1);
        place
    }

    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Their names and rows, by number.
    pub fn rows(&self) -> Vec<(String, u64)> {
        let mut all = vec![(String::new(), 0); self.places.len()];
        for (name, place) in &self.places {
            all[*place] = (name.to_string(), self.rows[*place]);
        }
        all
    }
}

/// One variable: a feature or the score.
#[derive(Debug, Clone)]
pub(super) struct Gathered {
    pub rows: u64,
    pub missing: u64,
    pub mean: f64,
    squares: f64,
    pub min: f64,
    pub max: f64,
    /// Rows, and sum of the values less the first one, of each asset.
    of_assets: Vec<(u32, f64)>,
    first: f64,
}

impl Default for Gathered {
    fn default() -> Self {
        Gathered {
            rows: 0,
            missing: 0,
            mean: 0.0,
            squares: 0.0,
            min: f64::INFINITY,
            max: f64::NEG_INFINITY,
            of_assets: Vec::new(),
            first: 0.0,
        }
    }
}

impl Gathered {
    /// Takes a value of an asset; what is not finite is missing.
    pub fn push(&mut self, asset: usize, value: f32) {
        let value = f64::from(value);
        if !value.is_finite() {
            self.missing += 1;
            return;
        }
        if self.rows == 0 {
            self.first = value;
        }
        self.rows += 1;
        let off = value - self.mean;
        self.mean += off / self.rows as f64;
        self.squares += off * (value - self.mean);
        self.min = self.min.min(value);
        self.max = self.max.max(value);
        if asset < MOST {
            if asset >= self.of_assets.len() {
                self.of_assets.resize(asset + 1, (0, 0.0));
            }
            let of = &mut self.of_assets[asset];
            of.0 += 1;
            of.1 += value - self.first;
        }
    }

    /// Standard deviation.
    pub fn sd(&self) -> f64 {
        (self.squares / self.rows.max(1) as f64).sqrt()
    }

    /// Share of the variance that is between assets.
    pub fn between(&self) -> f64 {
        let (rows, assets, squares) = self.of_assets();
        let total: f64 = self.of_assets.iter().map(|(_, sum)| sum).sum();
        let means = self.of_assets.iter().filter(|(rows, _)| *rows > 0);
        let between: f64 = means
            .map(|(of_asset, sum)| {
                let of_asset = f64::from(*of_asset);
                of_asset * (sum / of_asset - total / rows).powi(2)
            })
            .sum();
        if assets < 2.0 || rows <= assets {
            // Of one asset there is nothing to be drawn otherwise; one row of each is a row of its own.
            return 0.0;
        }
        // Those of all rows, as far as they are of the assets whose sums are kept.
        let all = self.squares * rows / self.rows as f64;
        let (between, within) = (
            between / (assets - 1.0),
            (all - between).max(0.0) / (rows - assets),
        );
        let usual = (rows - squares / rows) / (assets - 1.0);
        let share = (between - within) / (between + (usual - 1.0) * within);
        if share.is_finite() {
            share.clamp(0.0, 1.0)
        } else {
            0.0
        }
    }

    /// Independent rows that are worth as much as all.
    pub fn effective(&self) -> f64 {
        let (rows, _, squares) = self.of_assets();
        if rows == 0.0 {
            return 0.0;
        }
        effective(self.rows as f64, squares / rows, self.between())
    }

    /// Rows, assets, and the sum of squares of the assets' rows.
    fn of_assets(&self) -> (f64, f64, f64) {
        let each = self.of_assets.iter().map(|(rows, _)| f64::from(*rows));
        let each = each.filter(|rows| *rows > 0.0);
        each.fold((0.0, 0.0, 0.0), |(rows, assets, squares), of| {
            (rows + of, assets + 1.0, squares + of * of)
        })
    }
}

/// Independent rows that `rows` are worth, of assets with `per_asset` rows each, of whose variance `between` is between
/// them.
pub(super) fn effective(rows: f64, per_asset: f64, between: f64) -> f64 {
    rows / (1.0 + (per_asset - 1.0).max(0.0) * between)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gathered(rows: &[(usize, f32)]) -> Gathered {
        let mut gathered = Gathered::default();
        for (asset, value) in rows {
            gathered.push(*asset, *value);
        }
        gathered
    }

    #[test]
    fn moments_are_those_of_the_values() {
        let of = gathered(&[(0, 1.0), (1, f32::NAN), (0, 4.0), (1, 7.0)]);
        assert_eq!((of.rows, of.missing, of.mean), (3, 1, 4.0));
        assert_eq!((of.min, of.max), (1.0, 7.0));
        assert!((of.sd() - 6.0_f64.sqrt()).abs() < 1e-12);
    }

    /// By hand: means of assets 2 and 7, of all 4.5; squares between 2·2·2.5² = 25, within 2 + 2 = 4; B = 25, W = 2,
    /// n₀ = 2, so ρ = 23 / 27, and 4 rows are worth 4 / (1 + 23/27) = 2.16.
    #[test]
    fn rows_of_assets_that_are_alike_are_worth_few() {
        let of = gathered(&[(0, 1.0), (0, 3.0), (1, 6.0), (1, 8.0)]);
        assert!(
            (of.between() - 23.0 / 27.0).abs() < 1e-12,
            "{}",
            of.between()
        );
        assert!((of.effective() - 4.0 / (1.0 + 23.0 / 27.0)).abs() < 1e-12);
        // A value of its own for each: worth as many rows as there are assets.
        let of = gathered(&[(0, 5.0), (0, 5.0), (0, 5.0), (1, 9.0), (1, 9.0), (1, 9.0)]);
        assert_eq!((of.between(), of.effective()), (1.0, 2.0));
        // The same for all, and a single asset: nothing is between them.
        let of = gathered(&[(0, 1.0), (0, 3.0), (1, 1.0), (1, 3.0)]);
        assert_eq!((of.between(), of.effective()), (0.0, 4.0));
        assert_eq!(gathered(&[(0, 1.0), (0, 3.0)]).effective(), 2.0);
        assert_eq!(gathered(&[(0, 2.0), (1, 2.0), (1, 2.0)]).effective(), 3.0);
    }
}
