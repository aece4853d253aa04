use tfplugin_derive::Model;

#[derive(Clone, Model)]
struct Queue(String);

fn main() {}
