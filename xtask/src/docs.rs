//! The registry's documentation in `docs/`, rendered from the provider's schemas and the snippets in `examples/`.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use tfplugin::schema::AttributeKind;
use tfplugin::{Attribute, Nesting, ProviderSchemas, Schema, Signature};

use crate::rendered::{RenderError, Rendered, root};

/// One kind of page: where its pages, snippets and titles come from.
struct Kind {
    folder: &'static str,
    examples: &'static str,
    snippet: &'static str,
    noun: &'static str,
}

const RESOURCE: Kind = Kind { folder: "resources", examples: "resources", snippet: "resource.tf", noun: "Resource" };
const DATA: Kind =
    Kind { folder: "data-sources", examples: "data-sources", snippet: "data-source.tf", noun: "Data Source" };
const EPHEMERAL: Kind = Kind {
    folder: "ephemeral-resources",
    examples: "ephemeral-resources",
    snippet: "ephemeral-resource.tf",
    noun: "Ephemeral Resource",
};

/// All pages. Every resource, data source, ephemeral resource and function must have a snippet.
pub(crate) fn render(schemas: &ProviderSchemas) -> Result<Vec<Rendered>, RenderError> {
    let mut pages = vec![index(&schemas.provider)?];
    let kinds =
        [(&RESOURCE, &schemas.resources), (&DATA, &schemas.data_sources), (&EPHEMERAL, &schemas.ephemeral_resources)];
    for (kind, found) in kinds {
        for (name, schema) in found {
            pages.push(page(kind, name, schema)?);
        }
    }
    for (name, signature) in &schemas.functions {
        pages.push(function(name, signature)?);
    }
    Ok(pages)
}

fn index(provider: &Schema) -> Result<Rendered, RenderError> {
    let mut text = front_matter("Provider: azureml", &provider.description);
    let _ = write!(text, "# azureml Provider\n\n{}\n\n", provider.description);
    example(&mut text, "provider/provider.tf")?;
    schema_section(&mut text, provider);
    Ok(Rendered { path: "docs/index.md".into(), text: tidy(&text) })
}

fn page(kind: &Kind, name: &str, schema: &Schema) -> Result<Rendered, RenderError> {
    let mut text = front_matter(&format!("azureml: {name}"), &schema.description);
    let _ = write!(text, "# {name} ({})\n\n{}\n\n", kind.noun, schema.description);
    example(&mut text, &format!("{}/{name}/{}", kind.examples, kind.snippet))?;
    schema_section(&mut text, schema);
    let import = format!("{}/{name}/import.sh", kind.examples);
    if kind.folder == RESOURCE.folder {
        let _ = write!(text, "## Import\n\n```shell\n{}\n```\n", read(&import)?.trim_end());
    }
    let short = name.strip_prefix("azureml_").unwrap_or(name);
    Ok(Rendered { path: format!("docs/{}/{short}.md", kind.folder).into(), text: tidy(&text) })
}

fn function(name: &str, signature: &Signature) -> Result<Rendered, RenderError> {
    let mut text = front_matter(&format!("azureml: {name}"), &signature.summary);
    let _ = write!(text, "# {name} (Function)\n\n{}\n\n", signature.description);
    example(&mut text, &format!("functions/{name}/function.tf"))?;
    let parameters = signature.parameters.iter().map(|parameter| format!("{} {}", parameter.name, parameter.ty));
    let parameters = parameters.collect::<Vec<_>>().join(", ");
    let _ =
        write!(text, "## Signature\n\n```text\n{name}({parameters}) {}\n```\n\n## Arguments\n\n", signature.returns);
    for (position, parameter) in signature.parameters.iter().chain(&signature.variadic).enumerate() {
        let _ = writeln!(
            text,
            "{}. `{}` ({}) {}",
            position + 1,
            parameter.name,
            capital(&parameter.ty.to_string()),
            parameter.description
        );
    }
    Ok(Rendered { path: format!("docs/functions/{name}.md").into(), text: tidy(&text) })
}

fn front_matter(title: &str, description: &str) -> String {
    let first = description
        .split(['\n'])
        .next()
        .unwrap_or_default()
        .split(". ")
        .next()
        .unwrap_or_default()
        .trim_end_matches('.');
    format!("---\npage_title: \"{title}\"\nsubcategory: \"\"\ndescription: |-\n  {first}.\n---\n\n")
}

fn example(text: &mut String, path: &str) -> Result<(), RenderError> {
    let _ = write!(text, "## Example Usage\n\n```terraform\n{}\n```\n\n", read(path)?.trim_end());
    Ok(())
}

fn read(path: &str) -> Result<String, RenderError> {
    let path = Path::new("examples").join(path);
    fs::read_to_string(root().join(&path)).map_err(|source| RenderError::Example { path, source })
}

/// An attribute, or the `timeouts` block, whose own attributes get a section below.
struct Nested<'a> {
    path: String,
    attributes: &'a [(String, Attribute)],
}

fn schema_section(text: &mut String, schema: &Schema) {
    text.push_str("## Schema\n\n");
    let mut nested = Vec::new();
    groups(text, "", &schema.attributes, "###", &mut nested);
    if !schema.blocks.is_empty() {
        text.push_str("### Blocks\n\n");
        for (name, block) in &schema.blocks {
            let _ = writeln!(text, "- `{name}` (Block) {} See [below](#{}).", block.description, anchor(name));
            nested.push(Nested { path: name.clone(), attributes: &block.attributes });
        }
        text.push('\n');
    }
    while !nested.is_empty() {
        for Nested { path, attributes } in std::mem::take(&mut nested) {
            let _ = write!(text, "<a id=\"{}\"></a>\n### Nested: `{path}`\n\n", anchor(&path));
            groups(text, &format!("{path}."), attributes, "####", &mut nested);
        }
    }
}

fn groups<'a>(
    text: &mut String,
    prefix: &str,
    attributes: &'a [(String, Attribute)],
    heading: &str,
    nested: &mut Vec<Nested<'a>>,
) {
    let title_of = |attribute: &Attribute| match attribute {
        attribute if attribute.required => "Required",
        attribute if attribute.optional || attribute.default.is_some() => "Optional",
        _ => "Read-Only",
    };
    for title in ["Required", "Optional", "Read-Only"] {
        let mut members = attributes.iter().filter(|(_, attribute)| title_of(attribute) == title).peekable();
        if members.peek().is_none() {
            continue;
        }
        let _ = write!(text, "{heading} {title}\n\n");
        for (name, attribute) in members {
            let path = format!("{prefix}{name}");
            line(text, name, &path, attribute);
            if let AttributeKind::Nested(_, attributes) = &attribute.kind {
                nested.push(Nested { path, attributes });
            }
        }
        text.push('\n');
    }
}

fn line(text: &mut String, name: &str, path: &str, attribute: &Attribute) {
    let mut traits = vec![match &attribute.kind {
        AttributeKind::Plain(ty) => capital(&ty.to_string()),
        AttributeKind::Nested(Nesting::Single, _) => "Object".to_owned(),
        AttributeKind::Nested(Nesting::List, _) => "List of objects".to_owned(),
        AttributeKind::Nested(Nesting::Set, _) => "Set of objects".to_owned(),
        AttributeKind::Nested(Nesting::Map, _) => "Map of objects".to_owned(),
    }];
    for (set, word) in [
        (attribute.sensitive, "Sensitive"),
        (attribute.write_only, "Write-only"),
        (attribute.deprecation.is_some(), "Deprecated"),
    ] {
        if set {
            traits.push(word.to_owned());
        }
    }
    let _ = write!(text, "- `{name}` ({}) {}", traits.join(", "), attribute.description);
    for rule in &attribute.validators {
        let _ = write!(text, " Must be {}.", rule.documentation().trim_end_matches('.'));
    }
    if let Some(default) = &attribute.default
        && let Ok(default) = tfplugin::codec::to_json(default, &attribute.ty())
        && matches!(attribute.kind, AttributeKind::Plain(_))
    {
        let _ = write!(text, " Default: `{default}`.");
    }
    if let Some(instead) = &attribute.deprecation {
        let _ = write!(text, " **Deprecated:** {instead}");
    }
    if matches!(attribute.kind, AttributeKind::Nested(..)) {
        let _ = write!(text, " See [below](#{}).", anchor(path));
    }
    text.push('\n');
}

fn anchor(path: &str) -> String {
    format!("nested--{}", path.replace('.', "--"))
}

fn capital(text: &str) -> String {
    let mut characters = text.chars();
    characters.next().map_or_else(String::new, |first| first.to_uppercase().chain(characters).collect())
}

/// Ends with exactly one line break.
fn tidy(text: &str) -> String {
    format!("{}\n", text.trim_end())
}
