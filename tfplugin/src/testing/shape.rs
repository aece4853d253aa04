//! A schema as Core sees it: what came over the wire, not the provider's own types.

use std::collections::BTreeMap;

use super::error::CoreError;
use crate::proto;
use crate::proto::schema::nested_block::NestingMode as BlockMode;
use crate::proto::schema::object::NestingMode as ObjectMode;
use crate::types::Type;

/// How the objects of a nested attribute or block are arranged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Nesting {
    Single,
    List,
    Set,
    Map,
}

/// One attribute or block.
#[derive(Clone, Debug)]
pub(super) struct Member {
    pub(super) ty: Type,
    pub(super) nested: Option<(Nesting, Shape)>,
    pub(super) optional: bool,
    pub(super) computed: bool,
    pub(super) write_only: bool,
}

/// The attributes and blocks of an object.
#[derive(Clone, Debug, Default)]
pub(super) struct Shape {
    pub(super) members: BTreeMap<String, Member>,
}

impl Shape {
    pub(super) fn of(schema: &proto::Schema) -> Result<Self, CoreError> {
        schema.block.as_ref().map_or_else(|| Ok(Self::default()), Self::of_block)
    }

    fn of_block(block: &proto::schema::Block) -> Result<Self, CoreError> {
        let mut shape = Self::of_attributes(&block.attributes)?;
        for inner in &block.block_types {
            let nesting = match inner.nesting() {
                BlockMode::Single | BlockMode::Group => Nesting::Single,
                BlockMode::List => Nesting::List,
                BlockMode::Set => Nesting::Set,
                BlockMode::Map => Nesting::Map,
                BlockMode::Invalid => return Err(invalid(&inner.type_name, "has no nesting mode")),
            };
            let objects = inner.block.as_ref().map_or_else(|| Ok(Self::default()), Self::of_block)?;
            let member = Member {
                ty: collection(nesting, objects.ty()),
                nested: Some((nesting, objects)),
                optional: true,
                computed: false,
                write_only: false,
            };
            shape.members.insert(inner.type_name.clone(), member);
        }
        Ok(shape)
    }

    fn of_attributes(attributes: &[proto::schema::Attribute]) -> Result<Self, CoreError> {
        let members = attributes.iter().map(|attribute| Ok((attribute.name.clone(), member(attribute)?)));
        Ok(Self { members: members.collect::<Result<_, CoreError>>()? })
    }

    pub(super) fn ty(&self) -> Type {
        Type::object(self.members.iter().map(|(name, member)| (name.clone(), member.ty.clone())))
    }
}

fn member(attribute: &proto::schema::Attribute) -> Result<Member, CoreError> {
    // What Core's own check of schemas refuses.
    let (required, optional, computed) = (attribute.required, attribute.optional, attribute.computed);
    if required == (optional || computed) {
        return Err(invalid(&attribute.name, "must be required, or optional or computed"));
    }
    if attribute.write_only && computed {
        return Err(invalid(&attribute.name, "is write-only and cannot be computed"));
    }
    let (ty, nested) = match &attribute.nested_type {
        Some(_) if !attribute.r#type.is_empty() => {
            return Err(invalid(&attribute.name, "has both a type and nested attributes"));
        }
        None => {
            let ty = Type::from_json_slice(&attribute.r#type);
            (ty.map_err(|error| invalid(&attribute.name, &error.to_string()))?, None)
        }
        Some(object) => {
            let nesting = match object.nesting() {
                ObjectMode::Single => Nesting::Single,
                ObjectMode::List => Nesting::List,
                ObjectMode::Set => Nesting::Set,
                ObjectMode::Map => Nesting::Map,
                ObjectMode::Invalid => return Err(invalid(&attribute.name, "has no nesting mode")),
            };
            let objects = Shape::of_attributes(&object.attributes)?;
            (collection(nesting, objects.ty()), Some((nesting, objects)))
        }
    };
    Ok(Member { ty, nested, optional, computed, write_only: attribute.write_only })
}

fn collection(nesting: Nesting, object: Type) -> Type {
    match nesting {
        Nesting::Single => object,
        Nesting::List => Type::list(object),
        Nesting::Set => Type::set(object),
        Nesting::Map => Type::map(object),
    }
}

fn invalid(name: &str, what: &str) -> CoreError {
    CoreError::Schema(format!("attribute `{name}` {what}"))
}
