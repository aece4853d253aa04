use tfplugin_derive::Model;

#[derive(Clone, Model)]
struct Queue<T> {
    name: T,
}

fn main() {}
