//! The description of the API: for programs as OpenAPI, for people as a page made from it.

use std::fmt::Write as _;
use std::sync::LazyLock;

use axum::http::header;
use axum::response::{IntoResponse, Response};
use serde_json::Value;

/// The API, as it is served. A test compares it with the routes.
const OPENAPI: &str = include_str!("openapi.json");

/// The page loads nothing and runs nothing.
const POLICY: &str =
    "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const STYLE: &str = "\
:root{color-scheme:light dark}body{font:1rem/1.5 system-ui,sans-serif;max-width:50rem;margin:2rem auto;padding:0 1rem}\
h2{margin-top:3rem}h3{margin:2.5rem 0 .5rem}code,h3{font-family:ui-monospace,monospace}\
table{border-collapse:collapse;width:100%}td,th{text-align:left;vertical-align:top;padding:.3rem 1rem .3rem 0;border-top:1px solid #8884}";

static PAGE: LazyLock<String> = LazyLock::new(|| {
    let description = serde_json::from_str(OPENAPI).expect("BUG: a test reads the same file");
    render(&description)
});

/// `GET /openapi.json`.
pub(crate) async fn openapi() -> Response {
    ([(header::CONTENT_TYPE, "application/json")], OPENAPI).into_response()
}

/// `GET /docs`.
pub(crate) async fn page() -> Response {
    let headers = [(header::CONTENT_TYPE, "text/html; charset=utf-8"), (header::CONTENT_SECURITY_POLICY, POLICY)];
    (headers, PAGE.as_str()).into_response()
}

fn render(description: &Value) -> String {
    let info = &description["info"];
    let (title, version) = (text(&info["title"]), text(&info["version"]));
    let mut page = format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>{title} API</title>\
         <meta name=\"viewport\" content=\"width=device-width\"><style>{STYLE}</style>\
         <h1>{title} API {version}</h1><p>{}</p><p>{} <a href=\"/openapi.json\">openapi.json</a> is this page for programs.</p>",
        text(&info["description"]),
        text(&description["components"]["securitySchemes"]["token"]["description"]),
    );
    for tag in items(&description["tags"]) {
        // Writing to a string does not fail.
        let _ = write!(page, "<h2>{}</h2>", text(&tag["name"]));
        for (path, methods) in entries(&description["paths"]) {
            for (method, operation) in entries(methods) {
                if operation["tags"][0] == tag["name"] {
                    render_operation(&mut page, path, method, operation);
                }
            }
        }
    }
    page + "</html>\n"
}

fn render_operation(page: &mut String, path: &str, method: &str, operation: &Value) {
    let open = if operation["security"].is_array() { " Needs no token." } else { "" };
    let _ = write!(
        page,
        "<h3>{} {}</h3><p><strong>{}.</strong> ",
        method.to_uppercase(),
        escape(path),
        text(&operation["summary"])
    );
    let _ = write!(page, "{}{open}</p>", text(&operation["description"]));
    let form = &operation["requestBody"]["content"]["multipart/form-data"]["schema"];
    let required = |name: &str| items(&form["required"]).any(|required| required == name);
    let fields = entries(&form["properties"]).map(|(name, field)| (name, required(name), &field["description"], field));
    let parameters = items(&operation["parameters"]).map(|parameter| {
        let name = parameter["name"].as_str().unwrap_or_default();
        (name, parameter["required"] == true, &parameter["description"], &parameter["schema"])
    });
    let rows: Vec<_> = fields.chain(parameters).collect();
    if rows.is_empty() {
        return;
    }
    page.push_str("<table><tr><th>Field<th>Values<th>Meaning");
    for (name, required, description, schema) in rows {
        let needed = if required { " (needed)" } else { "" };
        let meaning = text(description);
        let _ = write!(page, "<tr><td><code>{}</code>{needed}<td>{}<td>{meaning}", escape(name), values(schema));
    }
    page.push_str("</table>");
}

/// What a field may be.
fn values(schema: &Value) -> String {
    let choices = if schema["enum"].is_array() { &schema["enum"] } else { &schema["items"]["enum"] };
    let mut said = if choices.is_array() {
        items(choices).map(|choice| format!("<code>{}</code>", text(choice))).collect::<Vec<_>>().join(", ")
    } else if schema["format"] == "binary" {
        "a file".to_owned()
    } else {
        text(&schema["type"])
    };
    if let (Some(least), Some(most)) = (schema["minimum"].as_f64(), schema["maximum"].as_f64()) {
        let _ = write!(said, ", {least} to {most}");
    }
    if let Some(default) = schema.get("default").filter(|default| !default.is_array()) {
        let default = default.as_str().map_or_else(|| default.to_string(), str::to_owned);
        let _ = write!(said, "; else <code>{}</code>", escape(&default));
    }
    said
}

fn items(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn entries(value: &Value) -> impl Iterator<Item = (&str, &Value)> {
    value.as_object().into_iter().flatten().map(|(key, value)| (key.as_str(), value))
}

fn text(value: &Value) -> String {
    escape(value.as_str().unwrap_or_default())
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn description() -> Value {
        serde_json::from_str(OPENAPI).unwrap()
    }

    #[test]
    fn the_description_is_whole() {
        fn check_references(at: &Value, all: &Value) {
            if let Some(reference) = at.get("$ref").and_then(Value::as_str) {
                let pointer = reference.strip_prefix('#').unwrap();
                assert!(all.pointer(pointer).is_some(), "{reference} points nowhere");
            }
            for (_, value) in entries(at) {
                check_references(value, all);
            }
            items(at).for_each(|value| check_references(value, all));
        }
        let description = description();
        check_references(&description, &description);
        assert_eq!(description["info"]["version"], env!("CARGO_PKG_VERSION"));
    }

    #[test]
    fn the_page_says_everything_and_loads_nothing() {
        let page = render(&description());
        for (path, _) in entries(&description()["paths"]) {
            assert!(page.contains(&escape(path)), "{path}");
        }
        assert!(page.contains("timestamp_granularities[]") && page.contains("<code>verbose_json</code>"));
        for outside in ["http://", "https://", "src=", "url(", "@import", "<script", "<link"] {
            assert!(!page.contains(outside), "{outside}");
        }
    }
}
