//! `#[derive(Model)]` of the crate `tfplugin`.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{Data, DeriveInput, Error, Fields, LitStr};

/// Reads and writes a struct as a Terraform object, one attribute for each field.
///
/// The attribute has the field's name, or the one of `#[model(name = "...")]`. A field with `#[model(flatten)]` is another
/// model whose attributes are the object's own.
#[proc_macro_derive(Model, attributes(model))]
pub fn derive_model(input: proc_macro::TokenStream) -> proc_macro::TokenStream {
    syn::parse(input).and_then(|input| expand(&input)).unwrap_or_else(|error| error.to_compile_error()).into()
}

fn expand(input: &DeriveInput) -> Result<TokenStream, Error> {
    let Data::Struct(data) = &input.data else {
        return Err(Error::new_spanned(&input.ident, "only a struct can be a model"));
    };
    let Fields::Named(fields) = &data.fields else {
        return Err(Error::new_spanned(&input.ident, "a model needs named fields, one for each attribute"));
    };
    if !input.generics.params.is_empty() {
        return Err(Error::new_spanned(&input.generics, "a model cannot be generic"));
    }
    let mut names = Vec::new();
    let mut idents = Vec::new();
    let mut parts = Vec::new();
    let mut part_types = Vec::new();
    for field in &fields.named {
        let Some(ident) = &field.ident else { continue };
        let mut name = ident.to_string().trim_start_matches("r#").to_owned();
        let mut flatten = false;
        for attribute in field.attrs.iter().filter(|attribute| attribute.path().is_ident("model")) {
            attribute.parse_nested_meta(|meta| {
                if meta.path.is_ident("name") {
                    name = meta.value()?.parse::<LitStr>()?.value();
                    Ok(())
                } else if meta.path.is_ident("flatten") {
                    flatten = true;
                    Ok(())
                } else {
                    Err(meta.error("the only options are `name = \"...\"` and `flatten`"))
                }
            })?;
        }
        if flatten {
            parts.push(ident);
            part_types.push(&field.ty);
            continue;
        }
        if names.contains(&name) {
            return Err(Error::new_spanned(ident, format!("a second field for the attribute `{name}`")));
        }
        names.push(name);
        idents.push(ident);
    }
    let ident = &input.ident;
    let own = names.len();
    Ok(quote! {
        impl ::tfplugin::Field for #ident {
            fn from_value(
                value: ::tfplugin::Value,
                path: &::tfplugin::AttributePath,
            ) -> ::core::result::Result<Self, ::tfplugin::ValueError> {
                #[allow(unused_mut, unused_variables)]
                let mut values = ::tfplugin::derived::attributes(value, path)?;
                ::core::result::Result::Ok(Self {
                    #(#idents: ::tfplugin::derived::take(&mut values, #names, path)?,)*
                    #(#parts: ::tfplugin::derived::take_part(&mut values, path)?,)*
                })
            }

            fn to_value(&self) -> ::tfplugin::Value {
                ::tfplugin::derived::object(
                    &[#(::tfplugin::Field::to_value(&self.#parts)),*],
                    [#((#names, ::tfplugin::Field::to_value(&self.#idents)),)*],
                )
            }
        }

        impl ::tfplugin::Model for #ident {
            const FIELDS: &'static [&'static str] = &::tfplugin::derived::concat::<{
                #own #(+ <#part_types as ::tfplugin::Model>::FIELDS.len())*
            }>(&[&[#(#names),*], #(<#part_types as ::tfplugin::Model>::FIELDS),*]);
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(input: &str) -> String {
        expand(&syn::parse_str(input).unwrap()).unwrap_err().to_string()
    }

    #[test]
    fn a_struct_becomes_a_model_with_the_names_of_its_attributes() {
        let input = syn::parse_str(r#"struct A { r#type: u8, #[model(name = "match")] pattern: u8 }"#).unwrap();
        let code = expand(&input).unwrap().to_string();
        assert!(code.contains(r#"["type" , "match"]"#), "{code}");
    }

    #[test]
    fn what_cannot_be_a_model_is_refused_with_a_reason() {
        assert_eq!(error("enum A { B }"), "only a struct can be a model");
        assert_eq!(error("struct A(u8);"), "a model needs named fields, one for each attribute");
        assert_eq!(error("struct A<T> { a: T }"), "a model cannot be generic");
        assert_eq!(error("struct A { #[model(skip)] a: u8 }"), "the only options are `name = \"...\"` and `flatten`");
        assert_eq!(error(r#"struct A { a: u8, #[model(name = "a")] b: u8 }"#), "a second field for the attribute `a`");
    }
}
