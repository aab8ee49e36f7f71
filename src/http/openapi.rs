//! The OpenAPI 3.1 document, put together from the table of routes and the types' JSON Schemas.

use std::collections::BTreeSet;
use std::str::FromStr as _;

use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use super::error::Style;
use super::routes::{Access, Endpoint, endpoints};
use super::wire::TYPES;

/// The version of the story contract.
pub(super) const API_VERSION: &str = "1.0.0";

/// Lines of JSON.
const LINES: &str = "application/x-ndjson";

/// The whole document, for routes under this prefix.
pub fn document(api_prefix: &str) -> Value {
    let mut generator = SchemaSettings::draft2020_12()
        .with(|settings| settings.definitions_path = "/components/schemas".into())
        .into_generator();
    let named: Map<String, Value> = TYPES
        .iter()
        .map(|(name, make)| ((*name).to_owned(), make(&mut generator).to_value()))
        .collect();
    let mut schemas = generator.take_definitions(true);
    for (name, schema) in &named {
        // Types without a definition of their own get one under their public name.
        if schema.get("$ref").is_none() {
            schemas.insert(name.clone(), schema.clone());
        }
    }
    let mut paths = Map::new();
    for endpoint in endpoints() {
        let path = paths.entry(endpoint.full_path(api_prefix)).or_insert_with(|| json!({}));
        path[endpoint.method] = operation(endpoint, &named);
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Writer Assistant API",
            "summary": "Rhapsode: structured context in, chapters streamed out, and a receipt that says why",
            "version": API_VERSION,
            "license": { "name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0" },
        },
        "paths": paths,
        "components": { "schemas": schemas, "securitySchemes": security_schemes() },
    })
}

fn operation(endpoint: &Endpoint, named: &Map<String, Value>) -> Value {
    let schema = |name: &str| match named.get(name) {
        Some(schema) if schema.get("$ref").is_some() => schema.clone(),
        _ => json!({ "$ref": format!("#/components/schemas/{name}") }),
    };
    let content_type = if endpoint.answers_lines { LINES } else { "application/json" };
    let mut content = json!({ content_type: { "schema": schema(endpoint.response) } });
    if let Some(events) = endpoint.events {
        content["text/event-stream"] = json!({ "schema": schema(events) });
    }
    if !endpoint.answers_files.is_empty() {
        content = endpoint.answers_files.iter().map(|it| ((*it).to_owned(), file())).collect();
    }
    let status = endpoint.status.to_string();
    let mut responses = json!({ status: { "description": endpoint.summary, "content": content } });
    for status in errors(endpoint) {
        responses[status.to_string()] = error_response(status, endpoint.style, &schema);
    }
    let mut operation = json!({
        "tags": [endpoint.tag],
        "summary": endpoint.summary,
        "operationId": operation_id(endpoint),
        "responses": responses,
        "security": security(endpoint.access()),
    });
    if let Some(request) = endpoint.request.filter(|_| endpoint.takes_lines) {
        let content = json!({ LINES: { "schema": schema(request) } });
        operation["requestBody"] = json!({ "required": true, "content": content });
    } else if let Some(request) = endpoint.request.filter(|_| !endpoint.takes_files.is_empty()) {
        let mut content = json!({ "multipart/form-data": { "schema": schema(request) } });
        for content_type in endpoint.takes_files {
            content[*content_type] = file();
        }
        operation["requestBody"] = json!({ "required": true, "content": content });
    } else if let Some(request) = endpoint.request {
        operation["requestBody"] = json!({
            "required": true,
            "content": { "application/json": { "schema": schema(request) } },
        });
        if let Some(form) = endpoint.form {
            let form = json!({ "schema": schema(form) });
            operation["requestBody"]["content"]["multipart/form-data"] = form;
        }
        if let Some(example) = endpoint.example.and_then(|text| Value::from_str(text).ok()) {
            operation["requestBody"]["content"]["application/json"]["example"] = example;
        }
    }
    let parameters = parameters(endpoint);
    if !parameters.is_empty() {
        operation["parameters"] = Value::Array(parameters);
    }
    operation
}

/// What a file is to the document.
fn file() -> Value {
    json!({ "schema": { "type": "string", "format": "binary" } })
}

/// Those of the table, and those of what guards the route.
fn errors(endpoint: &Endpoint) -> BTreeSet<u16> {
    let guard = (endpoint.access() != Access::Open).then_some(401);
    let limit = endpoint.is_limited().then_some(429);
    let origin = (endpoint.method != "get" || endpoint.path.starts_with("/ws/")).then_some(403);
    let slow = endpoint.request.map(|_| 408);
    let all = endpoint.errors.iter().copied().chain(guard).chain(limit);
    all.chain(origin).chain(slow).collect()
}

/// Names of [`security_schemes`]; one of the list does. `{}` is nothing at all.
fn security(access: Access) -> Value {
    match access {
        Access::Open => json!([]),
        Access::Key => json!([{ "key": [] }, { "keyHeader": [] }, {}]),
        Access::Account => json!([{ "account": [] }]),
    }
}

fn security_schemes() -> Value {
    json!({
        "key": {
            "type": "http",
            "scheme": "bearer",
            "description": "One of the server's API_KEYS; nothing is needed where it has none",
        },
        "keyHeader": {
            "type": "apiKey",
            "in": "header",
            "name": "X-API-Key",
            "description": "The same, in a header of its own",
        },
        "account": {
            "type": "http",
            "scheme": "bearer",
            "bearerFormat": "JWT",
            "description": "The access_token of a login",
        },
    })
}

fn error_response(status: u16, style: Style, schema: &impl Fn(&str) -> Value) -> Value {
    let (content_type, name) = match style {
        Style::Problem => ("application/problem+json", "Problem"),
        Style::Tokens => ("application/json", "TokenError"),
        Style::OpenAi => ("application/json", "OpenAiError"),
    };
    let description = axum::http::StatusCode::from_u16(status)
        .ok()
        .and_then(|status| status.canonical_reason())
        .unwrap_or("Error");
    json!({ "description": description, "content": { content_type: { "schema": schema(name) } } })
}

fn operation_id(endpoint: &Endpoint) -> String {
    let path = endpoint.path.replace("{api}", "").replace(['{', '}'], "");
    let words = path.split(['/', '-']).filter(|word| !word.is_empty()).collect::<Vec<_>>();
    let words = if words.is_empty() { "root".to_owned() } else { words.join("_") };
    let methods = endpoints().filter(|other| other.path == endpoint.path).count();
    if methods == 1 { words } else { format!("{}_{words}", endpoint.method) }
}

fn parameters(endpoint: &Endpoint) -> Vec<Value> {
    let in_path = endpoint.path.split(['{', '}']).skip(1).step_by(2).filter(|name| *name != "api");
    let mut parameters: Vec<_> = in_path
        .map(|name| {
            json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string" } })
        })
        .collect();
    for parameter in endpoint.query {
        parameters.push(json!({
            "name": parameter.name,
            "in": "query",
            "description": parameter.description,
            "required": parameter.is_required,
            "schema": Value::from_str(parameter.schema).unwrap_or_default(),
        }));
    }
    if endpoint.events.is_some() && ["story", "archive"].contains(&endpoint.tag) {
        parameters.push(json!({
            "name": "stream",
            "in": "query",
            "description": "false answers with one JSON object, as `Accept: application/json` does",
            "schema": { "type": "boolean", "default": true },
        }));
    }
    parameters
}
