//! A whole provider: one resource, a note in a file.
//!
//! Run it with `-debug` and set the variable that it prints to use it with Terraform.

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use async_trait::async_trait;
use tfplugin::schema::integer_between;
use tfplugin::{
    AnyFunction, AnyResource, Arguments, Attr, Attribute, Context, Diagnostics, Empty, Function, FunctionError, Model,
    OrDiagnostic, Parameter, Provider, Resource, Schema, Signature, Type, Value,
};

struct Minimal;

#[async_trait]
impl Provider for Minimal {
    type Data = ();
    type Config = Empty;
    const NAME: &'static str = "minimal";
    const ADDRESS: &'static str = "registry.terraform.io/example/minimal";

    fn schema(&self) -> Schema {
        Schema::new("Keeps notes in files.")
    }

    async fn configure(&self, _: Empty, _terraform_version: &str) -> Result<(), Diagnostics> {
        Ok(())
    }

    fn resources(&self) -> Vec<Box<dyn AnyResource<()>>> {
        vec![Box::new(NoteResource)]
    }

    fn functions(&self) -> Vec<Box<dyn AnyFunction>> {
        vec![Box::new(Shout)]
    }
}

#[derive(Clone, Debug, Default, Model)]
struct Note {
    id: Attr<String>,
    path: Attr<String>,
    text: Attr<String>,
    length: Attr<u64>,
    settle_seconds: Attr<u64>,
}

struct NoteResource;

#[async_trait]
impl Resource for NoteResource {
    type Data = ();
    type Model = Note;
    const NAME: &'static str = "minimal_note";

    fn schema(&self) -> Schema {
        Schema::new("A note in a file.")
            .attribute("id", Attribute::string("The file's path.").computed().use_state_for_unknown())
            .attribute("path", Attribute::string("Where the note is kept.").required().requires_replace())
            .attribute("text", Attribute::string("What it says.").required())
            .attribute("length", Attribute::number("Bytes of the text.").computed())
            .attribute(
                "settle_seconds",
                Attribute::number("How long to wait after writing.").default(0).validate(integer_between(0..=600)),
            )
    }

    async fn create(&self, context: &mut Context<()>, mut planned: Note) -> Result<Note, Diagnostics> {
        planned.id = planned.path.clone();
        write(&mut planned)?;
        // The file exists from here on: whatever happens while waiting, Terraform must know of it.
        context.save(&planned);
        settle(context, &planned).await?;
        Ok(planned)
    }

    async fn read(&self, _: &mut Context<()>, mut state: Note) -> Result<Option<Note>, Diagnostics> {
        let path = state.id.require("id")?;
        if !Path::new(path).exists() {
            return Ok(None);
        }
        let text = std::fs::read_to_string(path).or_diagnostic(format!("Cannot read the note `{path}`"))?;
        state.path = state.id.clone();
        state.length = Attr::Known(text.len() as u64);
        state.text = text.into();
        if !state.settle_seconds.is_known() {
            state.settle_seconds = Attr::Known(0);
        }
        Ok(Some(state))
    }

    async fn update(&self, context: &mut Context<()>, _: Note, mut planned: Note) -> Result<Note, Diagnostics> {
        write(&mut planned)?;
        settle(context, &planned).await?;
        Ok(planned)
    }

    async fn delete(&self, _: &mut Context<()>, state: Note) -> Result<(), Diagnostics> {
        let path = state.id.require("id")?;
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Ok(Err(error).or_diagnostic(format!("Cannot delete the note `{path}`"))?)
            }
            _ => Ok(()),
        }
    }

    async fn import(&self, _: &mut Context<()>, id: &str) -> Result<Note, Diagnostics> {
        Ok(Note { id: id.to_owned().into(), ..Note::default() })
    }
}

fn write(note: &mut Note) -> Result<(), Diagnostics> {
    let (path, text) = (note.path.require("path")?, note.text.require("text")?);
    tracing::info!(path, "Writing a note.");
    std::fs::write(path, text).or_diagnostic(format!("Cannot write the note `{path}`"))?;
    note.length = Attr::Known(text.len() as u64);
    Ok(())
}

async fn settle(context: &Context<()>, note: &Note) -> Result<(), Diagnostics> {
    let seconds = note.settle_seconds.get().copied().unwrap_or_default();
    let settled = tokio::time::sleep(Duration::from_secs(seconds));
    Ok(context.bounded("waiting for the note to settle", settled).await?)
}

struct Shout;

impl Function for Shout {
    const NAME: &'static str = "shout";

    fn signature(&self) -> Signature {
        Signature::new("Makes a text loud", "Returns the text in capitals.", Type::String).parameter(Parameter::new(
            "text",
            Type::String,
            "Any text.",
        ))
    }

    fn call(&self, arguments: &Arguments) -> Result<Value, FunctionError> {
        let text: String = arguments.get(0)?;
        Ok(text.to_uppercase().into())
    }
}

fn main() -> ExitCode {
    tfplugin::serve(Minimal, env!("CARGO_PKG_VERSION"))
}
