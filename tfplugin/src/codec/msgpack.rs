//! `MessagePack` as Terraform writes it: numbers as integer, float or decimal text; unknown values as extensions.

use std::collections::BTreeMap;

use rmp::{Marker, encode};

use crate::error::ValueError;
use crate::number::Number;
use crate::path::{AttributePath, Step};
use crate::types::Type;
use crate::value::{Refinements, Value};

/// The extension that carries refinements; every other one is a plain unknown value.
const REFINED: i8 = 12;

/// Reads a value of type `ty`.
pub fn from_msgpack(bytes: &[u8], ty: &Type) -> Result<Value, ValueError> {
    let mut reader = Reader { bytes, path: AttributePath::root() };
    let value = reader.value(ty)?;
    if reader.bytes.is_empty() { Ok(value) } else { Err(reader.error("is followed by further bytes")) }
}

struct Reader<'a> {
    bytes: &'a [u8],
    path: AttributePath,
}

impl<'a> Reader<'a> {
    fn error(&self, message: impl Into<String>) -> ValueError {
        ValueError::new(self.path.clone(), message)
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], ValueError> {
        let (taken, rest) = self.bytes.split_at_checked(length).ok_or_else(|| self.error("ends too early"))?;
        self.bytes = rest;
        Ok(taken)
    }

    fn unsigned(&mut self, length: usize) -> Result<u64, ValueError> {
        Ok(self.take(length)?.iter().fold(0, |number, byte| (number << 8) | u64::from(*byte)))
    }

    fn length(&mut self, length: usize) -> Result<usize, ValueError> {
        usize::try_from(self.unsigned(length)?).map_err(|_| self.error("is too long"))
    }

    fn marker(&mut self) -> Result<Marker, ValueError> {
        Ok(Marker::from_u8(self.take(1)?[0]))
    }

    fn peek(&self) -> Option<Marker> {
        self.bytes.first().map(|byte| Marker::from_u8(*byte))
    }

    fn within<T>(
        &mut self,
        step: Step,
        read: impl FnOnce(&mut Self) -> Result<T, ValueError>,
    ) -> Result<T, ValueError> {
        let outer = self.path.clone();
        self.path = outer.step(step);
        let result = read(self);
        self.path = outer;
        result
    }

    fn text(&mut self) -> Result<String, ValueError> {
        let length = match self.marker()? {
            Marker::FixStr(length) => usize::from(length),
            Marker::Str8 | Marker::Bin8 => self.length(1)?,
            Marker::Str16 | Marker::Bin16 => self.length(2)?,
            Marker::Str32 | Marker::Bin32 => self.length(4)?,
            _ => return Err(self.error("is not a string")),
        };
        let bytes = self.take(length)?;
        String::from_utf8(bytes.into()).map_err(|_| self.error("is not valid UTF-8"))
    }

    fn array(&mut self) -> Result<usize, ValueError> {
        let length = match self.marker()? {
            Marker::FixArray(length) => usize::from(length),
            Marker::Array16 => self.length(2)?,
            Marker::Array32 => self.length(4)?,
            _ => return Err(self.error("is not a list")),
        };
        // Every element takes a byte at least, so a lying length cannot make us allocate.
        if length > self.bytes.len() { Err(self.error("ends too early")) } else { Ok(length) }
    }

    fn map(&mut self) -> Result<usize, ValueError> {
        let length = match self.marker()? {
            Marker::FixMap(length) => usize::from(length),
            Marker::Map16 => self.length(2)?,
            Marker::Map32 => self.length(4)?,
            _ => return Err(self.error("is not a map or an object")),
        };
        if length > self.bytes.len() { Err(self.error("ends too early")) } else { Ok(length) }
    }

    fn boolean(&mut self) -> Result<bool, ValueError> {
        match self.marker()? {
            Marker::True => Ok(true),
            Marker::False => Ok(false),
            _ => Err(self.error("is not a bool")),
        }
    }

    fn number(&mut self) -> Result<Number, ValueError> {
        let signed = |value: u64, bits: u32| i64::from_ne_bytes((value << (64 - bits)).to_ne_bytes()) >> (64 - bits);
        Ok(match self.peek() {
            Some(Marker::FixStr(_) | Marker::Str8 | Marker::Str16 | Marker::Str32) => {
                let text = self.text()?;
                return text.parse().map_err(|error| self.error(format!("is not a number: {error}")));
            }
            _ => match self.marker()? {
                Marker::FixPos(value) => value.into(),
                Marker::FixNeg(value) => value.into(),
                Marker::U8 => self.unsigned(1)?.into(),
                Marker::U16 => self.unsigned(2)?.into(),
                Marker::U32 => self.unsigned(4)?.into(),
                Marker::U64 => self.unsigned(8)?.into(),
                Marker::I8 => signed(self.unsigned(1)?, 8).into(),
                Marker::I16 => signed(self.unsigned(2)?, 16).into(),
                Marker::I32 => signed(self.unsigned(4)?, 32).into(),
                Marker::I64 => signed(self.unsigned(8)?, 64).into(),
                Marker::F32 => {
                    let bits = u32::try_from(self.unsigned(4)?).unwrap_or_default();
                    self.float(f64::from(f32::from_bits(bits)))?
                }
                Marker::F64 => {
                    let bits = self.unsigned(8)?;
                    self.float(f64::from_bits(bits))?
                }
                _ => return Err(self.error("is not a number")),
            },
        })
    }

    fn float(&self, value: f64) -> Result<Number, ValueError> {
        Number::from_f64_exact(value).map_err(|error| self.error(format!("is not a number: {error}")))
    }

    /// Reads an unknown value, if that is what comes next.
    fn unknown(&mut self) -> Result<Option<Value>, ValueError> {
        let length = match self.peek() {
            Some(Marker::FixExt1) => Some(1),
            Some(Marker::FixExt2) => Some(2),
            Some(Marker::FixExt4) => Some(4),
            Some(Marker::FixExt8) => Some(8),
            Some(Marker::FixExt16) => Some(16),
            Some(Marker::Ext8 | Marker::Ext16 | Marker::Ext32) => None,
            _ => return Ok(None),
        };
        let length = match (self.marker()?, length) {
            (_, Some(length)) => length,
            (Marker::Ext8, None) => self.length(1)?,
            (Marker::Ext16, None) => self.length(2)?,
            _ => self.length(4)?,
        };
        let code = i8::from_ne_bytes([self.take(1)?[0]]);
        let body = self.take(length)?;
        if code != REFINED {
            return Ok(Some(Value::unknown()));
        }
        let refinements = Reader { bytes: body, path: self.path.clone() }.refinements()?;
        Ok(Some(Value::Unknown((refinements != Refinements::default()).then(|| Box::new(refinements)))))
    }

    fn refinements(&mut self) -> Result<Refinements, ValueError> {
        let mut refinements = Refinements::default();
        for _ in 0..self.map()? {
            let key = self.number()?.to_integer::<u8>();
            match key {
                Some(1) => refinements.null = Some(self.boolean()?),
                Some(2) => refinements.prefix = Some(self.text()?),
                Some(key @ (3 | 4)) => {
                    if self.array()? != 2 {
                        return Err(self.error("has a malformed number bound"));
                    }
                    let bound = Some((self.number()?, self.boolean()?));
                    if key == 3 { refinements.lower = bound } else { refinements.upper = bound }
                }
                Some(5) => refinements.min_length = self.number()?.to_integer(),
                Some(6) => refinements.max_length = self.number()?.to_integer(),
                // A later kind of refinement; it can only be dropped with everything after it, whose size is unknown.
                _ => return Ok(refinements),
            }
        }
        Ok(refinements)
    }

    fn value(&mut self, ty: &Type) -> Result<Value, ValueError> {
        if self.peek() == Some(Marker::Null) {
            self.take(1)?;
            return Ok(Value::Null);
        }
        if let Some(unknown) = self.unknown()? {
            return Ok(unknown);
        }
        match ty {
            Type::Bool => self.boolean().map(Value::Bool),
            Type::Number => self.number().map(Value::Number),
            Type::String => self.text().map(Value::String),
            Type::Dynamic => {
                if self.array()? != 2 {
                    return Err(self.error("does not name its type"));
                }
                let ty = self.text()?;
                let ty = Type::from_json_slice(ty.as_bytes()).map_err(|error| self.error(error.to_string()))?;
                self.value(&ty)
            }
            Type::List(element) => self.elements(element, Step::Index).map(Value::List),
            Type::Set(element) => self.elements(element, |_| Step::Element).map(Value::Set),
            Type::Tuple(types) => {
                if self.array()? != types.len() {
                    return Err(self.error(format!("does not have {} elements", types.len())));
                }
                let read = |(index, ty)| self.within(Step::Index(index), |reader| reader.value(ty));
                types.iter().enumerate().map(read).collect::<Result<_, _>>().map(Value::Tuple)
            }
            Type::Map(element) => {
                let mut values = BTreeMap::new();
                for _ in 0..self.map()? {
                    let key = self.text()?;
                    let value = self.within(Step::Key(key.clone()), |reader| reader.value(element))?;
                    values.insert(key, value);
                }
                Ok(Value::Map(values))
            }
            Type::Object(types) => {
                let mut values = BTreeMap::new();
                for _ in 0..self.map()? {
                    let name = self.text()?;
                    let value = self.within(Step::Attribute(name.clone()), |reader| match types.get(&name) {
                        Some(ty) => reader.value(ty),
                        None => Err(reader.error("is not an attribute of this object")),
                    })?;
                    values.insert(name, value);
                }
                match types.keys().find(|name| !values.contains_key(*name)) {
                    Some(name) => Err(ValueError::new(self.path.child(name), "is missing")),
                    None => Ok(Value::Object(values)),
                }
            }
        }
    }

    fn elements(&mut self, ty: &Type, step: impl Fn(usize) -> Step) -> Result<Vec<Value>, ValueError> {
        (0..self.array()?).map(|index| self.within(step(index), |reader| reader.value(ty))).collect()
    }
}

/// Writes a value that has the type `ty` (see [`Value::conform`]).
#[must_use]
pub fn to_msgpack(value: &Value, ty: &Type) -> Vec<u8> {
    let mut out = Vec::new();
    // Writing to memory cannot fail.
    let _ = write(&mut out, value, ty);
    out
}

type Written = Result<(), encode::ValueWriteError>;

fn length(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

fn write(out: &mut Vec<u8>, value: &Value, ty: &Type) -> Written {
    match (value, ty) {
        (Value::Null, _) => encode::write_nil(out).map_err(encode::ValueWriteError::InvalidMarkerWrite)?,
        (Value::Unknown(refinements), _) => write_unknown(out, refinements.as_deref())?,
        (value, Type::Dynamic) => {
            let ty = value.inferred_type();
            encode::write_array_len(out, 2)?;
            encode::write_bin(out, &ty.to_json_bytes())?;
            write(out, value, &ty)?;
        }
        (Value::Bool(value), _) => {
            encode::write_bool(out, *value).map_err(encode::ValueWriteError::InvalidMarkerWrite)?;
        }
        (Value::Number(number), _) => write_number(out, number)?,
        (Value::String(text), _) => encode::write_str(out, text)?,
        (Value::List(values) | Value::Set(values), Type::List(element) | Type::Set(element)) => {
            encode::write_array_len(out, length(values.len()))?;
            for value in values {
                write(out, value, element)?;
            }
        }
        (Value::List(values) | Value::Set(values), _) => {
            encode::write_array_len(out, length(values.len()))?;
            for value in values {
                write(out, value, &value.inferred_type())?;
            }
        }
        (Value::Tuple(values), ty) => {
            encode::write_array_len(out, length(values.len()))?;
            for (index, value) in values.iter().enumerate() {
                match ty {
                    Type::Tuple(types) if index < types.len() => write(out, value, &types[index])?,
                    _ => write(out, value, &value.inferred_type())?,
                }
            }
        }
        (Value::Map(values) | Value::Object(values), ty) => {
            encode::write_map_len(out, length(values.len()))?;
            for (key, value) in values {
                encode::write_str(out, key)?;
                match ty {
                    Type::Map(element) => write(out, value, element)?,
                    Type::Object(types) if types.contains_key(key) => write(out, value, &types[key])?,
                    _ => write(out, value, &value.inferred_type())?,
                }
            }
        }
    }
    Ok(())
}

fn write_number(out: &mut Vec<u8>, number: &Number) -> Written {
    if let Some(integer) = number.to_integer::<i64>() {
        encode::write_sint(out, integer)?;
    } else if Number::from_f64_exact(number.to_f64()).is_ok_and(|exact| exact == *number) {
        encode::write_f64(out, number.to_f64())?;
    } else {
        encode::write_str(out, &number.to_string())?;
    }
    Ok(())
}

fn write_unknown(out: &mut Vec<u8>, refinements: Option<&Refinements>) -> Written {
    let Some(refinements) = refinements else {
        out.extend([0xd4, 0, 0]);
        return Ok(());
    };
    let mut body = Vec::new();
    let mut count = 0;
    let mut key = |body: &mut Vec<u8>, key: u8| {
        count += 1;
        encode::write_uint(body, key.into()).map(|_| ())
    };
    if let Some(null) = refinements.null {
        key(&mut body, 1)?;
        encode::write_bool(&mut body, null).map_err(encode::ValueWriteError::InvalidMarkerWrite)?;
    }
    if let Some(prefix) = &refinements.prefix {
        key(&mut body, 2)?;
        encode::write_str(&mut body, prefix)?;
    }
    for (code, bound) in [(3, &refinements.lower), (4, &refinements.upper)] {
        if let Some((number, inclusive)) = bound {
            key(&mut body, code)?;
            encode::write_array_len(&mut body, 2)?;
            write_number(&mut body, number)?;
            encode::write_bool(&mut body, *inclusive).map_err(encode::ValueWriteError::InvalidMarkerWrite)?;
        }
    }
    for (code, bound) in [(5, refinements.min_length), (6, refinements.max_length)] {
        if let Some(bound) = bound {
            key(&mut body, code)?;
            encode::write_uint(&mut body, bound)?;
        }
    }
    let mut map = Vec::new();
    encode::write_map_len(&mut map, count)?;
    map.append(&mut body);
    encode::write_ext_meta(out, length(map.len()), REFINED)?;
    out.append(&mut map);
    Ok(())
}
