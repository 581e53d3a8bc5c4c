//! What a file that is no ONNX model is, for an error that helps: people drop in checkpoints, archives,
//! pages of a login and pointers of git.

/// What it is, in words, and what to do instead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Other {
    pub what: &'static str,
    pub remedy: &'static str,
}

const EXPORT_TORCH: &str =
    "export it in Python with torch.onnx.export(model, example, \"model.onnx\")";
const EXPORT_KERAS: &str =
    "export it in Python with model.export(\"model.onnx\", format=\"onnx\"), or with tf2onnx";
const EXPORT_SKLEARN: &str = "export it in Python with skl2onnx or onnxmltools";
const UNPACK: &str = "unpack it and name the .onnx file inside";
const AGAIN: &str = "fetch it again with what its server asks for (a login, the raw file's link)";

/// Where a kind of file has its mark, and the mark.
#[rustfmt::skip]
const MARKS: [(usize, &[u8], Other); 14] = [
    (0, b"version https://git-lfs", Other { what: "a pointer of git-LFS, not the file itself", remedy: "run `git lfs pull`" }),
    (0, b"\x1f\x8b", Other { what: "gzip-compressed", remedy: UNPACK }),
    (0, b"BZh", Other { what: "bzip2-compressed", remedy: UNPACK }),
    (0, b"\xfd7zXZ", Other { what: "xz-compressed", remedy: UNPACK }),
    (0, b"\x28\xb5\x2f\xfd", Other { what: "zstd-compressed", remedy: UNPACK }),
    (257, b"ustar", Other { what: "a tar archive", remedy: UNPACK }),
    (0, b"\x89HDF", Other { what: "an HDF5 file, as Keras saves models", remedy: EXPORT_KERAS }),
    (4, b"TFL3", Other { what: "a TensorFlow Lite model", remedy: EXPORT_KERAS }),
    (4, b"ORTM", Other { what: "a model in ONNX Runtime's own .ort format, which is bound to one build", remedy: "take the .onnx file that it was made of" }),
    (0, b"GGUF", Other { what: "a GGUF language model", remedy: "export an ONNX model" }),
    (0, b"\x7fELF", Other { what: "a program or a library", remedy: "name the .onnx file" }),
    (0, b"tree\nversion", Other { what: "a LightGBM text model", remedy: "export it in Python with onnxmltools.convert_lightgbm" }),
    (0, b"\x93NUMPY", Other { what: "a NumPy array", remedy: "export the model that it belongs to" }),
    (0, b"PAR1", Other { what: "a Parquet file", remedy: "name the .onnx file" }),
];

/// Names the kind of a file that is known not to be ONNX; `None` when it may be.
pub(super) fn other_than_onnx(bytes: &[u8]) -> Option<Other> {
    let marked = MARKS
        .iter()
        .find(|(at, mark, _)| bytes.get(*at..).is_some_and(|rest| rest.starts_with(mark)));
    if let Some((_, _, other)) = marked {
        return Some(*other);
    }
    if bytes.starts_with(b"PK\x03\x04") {
        return Some(zip(bytes));
    }
    // Protocol 2 and newer: PROTO, then its number.
    if let [0x80, 2..=5, ..] = bytes {
        return Some(Other {
            what: "a Python pickle, as scikit-learn, joblib and old PyTorch save models",
            remedy: EXPORT_SKLEARN,
        });
    }
    text(bytes)
}

/// By the names of the first entries.
fn zip(bytes: &[u8]) -> Other {
    let head = &bytes[..bytes.len().min(4096)];
    let has = |name: &[u8]| head.windows(name.len()).any(|window| window == name);
    if has(b"data.pkl") {
        return Other {
            what: "a PyTorch checkpoint (.pt), whose code and weights need Python",
            remedy: EXPORT_TORCH,
        };
    }
    if has(b"model.weights.h5") || has(b"config.json") {
        return Other {
            what: "a Keras model (.keras)",
            remedy: EXPORT_KERAS,
        };
    }
    Other {
        what: "a zip archive",
        remedy: UNPACK,
    }
}

/// An ONNX file begins with a small number; text of any kind begins with something to read.
fn text(bytes: &[u8]) -> Option<Other> {
    let start = bytes.trim_ascii_start();
    let head = start[..start.len().min(256)].to_ascii_lowercase();
    let (what, remedy) = if head.starts_with(b"<!doctype") || head.starts_with(b"<html") {
        ("an HTML page, not the file that was asked for", AGAIN)
    } else if head.starts_with(b"<?xml") {
        ("an XML document", AGAIN)
    } else if start.starts_with(b"{") && std::str::from_utf8(&head).is_ok() {
        ("JSON, as XGBoost saves models", EXPORT_SKLEARN)
    } else if is_readable(&head) {
        ("text", "name the .onnx file")
    } else {
        return None;
    };
    Some(Other { what, remedy })
}

fn is_readable(head: &[u8]) -> bool {
    let printable = |byte: &u8| byte.is_ascii_graphic() || byte.is_ascii_whitespace();
    head.len() >= 8 && head.iter().all(printable)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_is_named() {
        let mut tar = vec![0; 512];
        tar[257..262].copy_from_slice(b"ustar");
        for (bytes, what) in [
            (&b"PK\x03\x04....archive/data.pkl"[..], "PyTorch"),
            (b"PK\x03\x04....notes.txt", "a zip archive"),
            (b"PK\x03\x04....metadata.json..config.json", "Keras"),
            (b"\x80\x04\x95", "pickle"),
            (b"\n<!DOCTYPE html><html>", "HTML"),
            (b"version https://git-lfs.github.com/spec/v1\n", "git-LFS"),
            (b"{\"learner\":{}}", "JSON"),
            (b"not a model at all", "text"),
            (&tar, "tar"),
            (b"\x1c\0\0\0TFL3", "TensorFlow Lite"),
        ] {
            let told = other_than_onnx(bytes).map(|other| other.what);
            assert!(
                told.is_some_and(|told| told.contains(what)),
                "{what}: {told:?}"
            );
        }
    }

    #[test]
    fn an_onnx_file_is_none_of_them() {
        let plain = include_bytes!("../../../tests/fixtures/models/plain/1/model.onnx");
        assert_eq!(other_than_onnx(plain), None);
        assert_eq!(other_than_onnx(&plain[..40]), None);
    }
}
