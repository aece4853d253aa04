//! Elements of tensors: between the typed fields of a message and the raw bytes of the binary extension.

use bytes::Bytes;

use super::proto::InferTensorContents;

/// Whether a message has typed elements.
pub(super) fn is_typed(contents: &InferTensorContents) -> bool {
    contents != &InferTensorContents::default()
}

/// The raw little-endian bytes of typed elements; `None` when `datatype` has no typed field or an element does not fit.
pub(super) fn raw(datatype: &str, contents: &InferTensorContents) -> Option<Vec<u8>> {
    /// Each element in the width of its datatype.
    macro_rules! narrow {
        ($values:expr, $kind:ty) => {{
            let mut bytes = Vec::with_capacity($values.len() * size_of::<$kind>());
            for value in $values {
                bytes.extend_from_slice(&<$kind>::try_from(*value).ok()?.to_le_bytes());
            }
            bytes
        }};
    }
    Some(match datatype {
        "BOOL" => contents.bool_contents.iter().map(|value| u8::from(*value)).collect(),
        "INT8" => narrow!(&contents.int_contents, i8),
        "INT16" => narrow!(&contents.int_contents, i16),
        "INT32" => narrow!(&contents.int_contents, i32),
        "INT64" => narrow!(&contents.int64_contents, i64),
        "UINT8" => narrow!(&contents.uint_contents, u8),
        "UINT16" => narrow!(&contents.uint_contents, u16),
        "UINT32" => narrow!(&contents.uint_contents, u32),
        "UINT64" => narrow!(&contents.uint64_contents, u64),
        "FP32" => contents.fp32_contents.iter().flat_map(|value| value.to_le_bytes()).collect(),
        "FP64" => contents.fp64_contents.iter().flat_map(|value| value.to_le_bytes()).collect(),
        "BYTES" => {
            let mut bytes = Vec::new();
            for element in &contents.bytes_contents {
                bytes.extend_from_slice(&u32::try_from(element.len()).ok()?.to_le_bytes());
                bytes.extend_from_slice(element);
            }
            bytes
        }
        _ => return None,
    })
}

/// Typed elements of raw bytes; `None` when `datatype` has no typed field or the bytes are not whole elements.
pub(super) fn typed(datatype: &str, raw: &Bytes) -> Option<InferTensorContents> {
    macro_rules! wide {
        ($field:ident, $kind:ty) => {{
            let (elements, rest) = raw.as_chunks::<{ size_of::<$kind>() }>();
            if !rest.is_empty() {
                return None;
            }
            let $field = elements.iter().map(|element| <$kind>::from_le_bytes(*element).into()).collect();
            InferTensorContents { $field, ..InferTensorContents::default() }
        }};
    }
    Some(match datatype {
        "BOOL" => InferTensorContents {
            bool_contents: raw.iter().map(|value| *value != 0).collect(),
            ..InferTensorContents::default()
        },
        "INT8" => wide!(int_contents, i8),
        "INT16" => wide!(int_contents, i16),
        "INT32" => wide!(int_contents, i32),
        "INT64" => wide!(int64_contents, i64),
        "UINT8" => wide!(uint_contents, u8),
        "UINT16" => wide!(uint_contents, u16),
        "UINT32" => wide!(uint_contents, u32),
        "UINT64" => wide!(uint64_contents, u64),
        "FP32" => wide!(fp32_contents, f32),
        "FP64" => wide!(fp64_contents, f64),
        "BYTES" => {
            let (mut bytes_contents, mut rest) = (Vec::new(), raw.clone());
            while !rest.is_empty() {
                let length = u32::from_le_bytes(*rest.first_chunk()?) as usize;
                let _ = rest.split_to(4);
                if length > rest.len() {
                    return None;
                }
                bytes_contents.push(rest.split_to(length));
            }
            InferTensorContents { bytes_contents, ..InferTensorContents::default() }
        }
        _ => return None,
    })
}
