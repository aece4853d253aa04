//! Wrong uses of `#[derive(Model)]` and what the compiler says about them.

#[test]
fn a_struct_that_cannot_be_a_model_does_not_compile() {
    trybuild::TestCases::new().compile_fail("tests/ui/*.rs");
}
