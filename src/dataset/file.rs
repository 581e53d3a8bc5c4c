//! One table file, written row group by row group.

use std::fs::File;
use std::path::Path;
use std::sync::PoisonError;

use anyhow::Result;
use polars::io::parquet::write::BatchedWriter;
use polars::prelude::{
    CsvWriter, DataFrame, KeyValueMetadata, ParquetMetadataContext, ParquetWriter, Schema,
    SerWriter as _,
};

use crate::files::Format;

/// Where lineage stands in the metadata of a Parquet file.
const LINEAGE: &str = "forewarn.lineage";

pub(super) struct TableFile {
    file: File,
    writer: Writer,
}

enum Writer {
    Parquet(Box<BatchedWriter<File>>),
    Csv { with_header: bool },
}

impl TableFile {
    pub(super) fn create(path: &Path, format: Format, schema: &Schema) -> Result<Self> {
        let file = File::create(path)?;
        let writer = match format {
            Format::Csv => Writer::Csv { with_header: true },
            _ => {
                let writer = ParquetWriter::new(file.try_clone()?).set_parallel(false);
                Writer::Parquet(Box::new(writer.batched(schema)?))
            }
        };
        Ok(TableFile { file, writer })
    }

    /// Writes rows as one row group.
    pub(super) fn write(&mut self, mut frame: DataFrame) -> Result<()> {
        match &mut self.writer {
            Writer::Parquet(writer) => {
                frame.rechunk_mut();
                writer.write_batch(&frame)?;
            }
            Writer::Csv { with_header } => {
                let writer = CsvWriter::new(&mut self.file);
                let mut writer = writer.include_header(std::mem::take(with_header));
                writer.finish(&mut frame)?;
            }
        }
        Ok(())
    }

    /// Ends the file, and waits until it is on the disk.
    pub(super) fn finish(self, lineage: Option<&str>) -> Result<()> {
        if let Writer::Parquet(writer) = &self.writer {
            // Columns are of types that Parquet has itself: nothing is lost without Arrow's own description of them.
            let metadata = lineage.map(|lineage| {
                let pair = (LINEAGE.to_owned(), lineage.to_owned());
                let nothing = ParquetMetadataContext { arrow_schema: "" };
                KeyValueMetadata::from_static(vec![pair]).collect(nothing)
            });
            let metadata = metadata.transpose()?;
            let writer = writer.get_writer();
            let mut writer = writer.lock().unwrap_or_else(PoisonError::into_inner);
            writer.end(metadata)?;
        }
        Ok(self.file.sync_all()?)
    }
}
