use tfplugin_derive::Model;

#[derive(Clone, Model)]
struct Queue {
    #[model(rename = "title")]
    name: String,
}

fn main() {}
