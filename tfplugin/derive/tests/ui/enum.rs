use tfplugin_derive::Model;

#[derive(Clone, Model)]
enum Queue {
    Fast,
}

fn main() {}
