//! Schemas as messages of the wire.

use super::{Attribute, AttributeKind, Block, BlockNesting, Nesting, Schema};
use crate::proto::schema as wire;
use crate::proto::{self, StringKind};

fn attributes(attributes: &[(String, Attribute)]) -> Vec<wire::Attribute> {
    attributes.iter().map(|(name, attribute)| attribute_to_proto(name, attribute)).collect()
}

fn attribute_to_proto(name: &str, attribute: &Attribute) -> wire::Attribute {
    // A message names a type or nested attributes, never both.
    let (r#type, nested_type) = match &attribute.kind {
        AttributeKind::Plain(ty) => (ty.to_json_bytes(), None),
        AttributeKind::Nested(nesting, inner) => {
            let nesting = match nesting {
                Nesting::Single => wire::object::NestingMode::Single,
                Nesting::List => wire::object::NestingMode::List,
                Nesting::Set => wire::object::NestingMode::Set,
                Nesting::Map => wire::object::NestingMode::Map,
            };
            let object = wire::Object { attributes: attributes(inner), nesting: nesting.into() };
            (bytes::Bytes::new(), Some(object))
        }
    };
    wire::Attribute {
        name: name.into(),
        r#type,
        nested_type,
        description: attribute.description.clone(),
        required: attribute.required,
        optional: attribute.optional,
        computed: attribute.computed,
        sensitive: attribute.sensitive,
        description_kind: StringKind::Markdown.into(),
        deprecated: attribute.deprecation.is_some(),
        write_only: attribute.write_only,
        deprecation_message: attribute.deprecation.clone().unwrap_or_default(),
    }
}

fn block_to_proto(name: &str, block: &Block) -> wire::NestedBlock {
    let nesting = match block.nesting {
        BlockNesting::Single => wire::nested_block::NestingMode::Single,
        BlockNesting::List => wire::nested_block::NestingMode::List,
        BlockNesting::Set => wire::nested_block::NestingMode::Set,
    };
    wire::NestedBlock {
        type_name: name.into(),
        block: Some(wire::Block {
            attributes: attributes(&block.attributes),
            description: block.description.clone(),
            description_kind: StringKind::Markdown.into(),
            ..Default::default()
        }),
        nesting: nesting.into(),
        ..Default::default()
    }
}

impl Schema {
    pub(crate) fn to_proto(&self) -> proto::Schema {
        proto::Schema {
            version: self.version,
            block: Some(wire::Block {
                version: self.version,
                attributes: attributes(&self.attributes),
                block_types: self.blocks.iter().map(|(name, block)| block_to_proto(name, block)).collect(),
                description: self.description.clone(),
                description_kind: StringKind::Markdown.into(),
                deprecated: self.deprecation.is_some(),
                deprecation_message: self.deprecation.clone().unwrap_or_default(),
            }),
        }
    }
}
