use tfplugin_derive::Model;

#[derive(Clone, Model)]
struct Queue {
    name: String,
    #[model(name = "name")]
    title: String,
}

fn main() {}
