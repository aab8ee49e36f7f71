//! Character cards in and out.

use axum::Json;
use axum::extract::multipart::Multipart;
use axum::extract::{FromRequest, Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::key;
use super::wire::{PersonaImportForm, PersonaImported};
use crate::http::AppState;
use crate::http::error::{ApiError, Code};
use crate::http::extract::{PathNames, Whole, in_body_time, refused_form};
use crate::http::parameters::{Parameters, wrong};
use crate::persona::{CardFormat, Personas};

/// What curl calls a body that nobody gave a type.
const UNTOLD: &str = "application/x-www-form-urlencoded";
const FORM: &str = "multipart/form-data";
pub(in super::super) const PNG: &str = "image/png";
pub(in super::super) const JSON: &str = "application/json";
pub(in super::super) const ZIP: &str = "application/zip";
pub(in super::super) const BYTES: &str = "application/octet-stream";
/// Of the card in a form, and of a zip archive as Windows calls it.
const FILE: &str = "file";
const OTHER_ZIP: &str = "application/x-zip-compressed";

pub(in super::super) async fn import(
    State(personas): State<Personas>,
    form: PersonaImportForm,
) -> Result<(StatusCode, Json<PersonaImported>), ApiError> {
    let PersonaImportForm { file, key, replace } = form;
    let imported = personas.import(file.into(), key, replace).await?;
    Ok((StatusCode::CREATED, Json(imported.into())))
}

pub(in super::super) async fn export(
    State(personas): State<Personas>,
    names: PathNames,
    parameters: Parameters,
) -> Result<Response, ApiError> {
    let format = parameters.text("format").map(|name| {
        CardFormat::named(name).ok_or_else(|| wrong(&["format"], "must be json, png or charx"))
    });
    let card = personas.export(&key(names), format.transpose()?).await?;
    let content_type = match card.format {
        CardFormat::Json => JSON,
        CardFormat::Png => PNG,
        CardFormat::Charx => ZIP,
    };
    // The key may hold letters that a header can't.
    let disposition = format!("attachment; filename=\"persona.{}\"", card.format.name());
    let headers = [
        (header::CONTENT_TYPE, content_type.to_owned()),
        (header::CONTENT_DISPOSITION, disposition),
    ];
    Ok((headers, card.bytes).into_response())
}

/// As a form, or as the body itself.
impl FromRequest<AppState> for PersonaImportForm {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &AppState) -> Result<Self, ApiError> {
        let told = request.headers().get(header::CONTENT_TYPE);
        let told = told.map_or("", |it| it.to_str().unwrap_or("?")).to_ascii_lowercase();
        let content_type = told.split(';').next().unwrap_or_default().trim();
        match content_type {
            FORM => {
                let form = Multipart::from_request(request, state).await;
                let form = form.map_err(|error| ApiError::new(Code::BadRequest, error.body_text()));
                in_body_time(of_form(form?)).await
            }
            "" | PNG | JSON | ZIP | OTHER_ZIP | BYTES | UNTOLD => of_body(request, state).await,
            _ => Err(ApiError::new(
                Code::UnsupportedMediaType,
                format!("send the card as {FORM}, {PNG}, {JSON}, {ZIP} or {BYTES}"),
            )),
        }
    }
}

async fn of_body(request: Request, state: &AppState) -> Result<PersonaImportForm, ApiError> {
    let (mut parts, body) = request.into_parts();
    let parameters = {
        use axum::extract::FromRequestParts as _;
        Parameters::from_request_parts(&mut parts, state).await?
    };
    let (key, replace) = (parameters.text("key").map(str::to_owned), parameters.flag("replace")?);
    let Whole(file) = Whole::from_request(Request::from_parts(parts, body), state).await?;
    if file.is_empty() {
        return Err(wrong(&[FILE], "is required: the card"));
    }
    Ok(PersonaImportForm { file, key: key.filter(|key| !key.is_empty()), replace })
}

async fn of_form(mut form: Multipart) -> Result<PersonaImportForm, ApiError> {
    let (mut file, mut key, mut replace) = (None, None, false);
    while let Some(field) = form.next_field().await.map_err(|error| refused_form(&error))? {
        match field.name() {
            Some(FILE) => file = Some(field.bytes().await.map_err(|error| refused_form(&error))?),
            Some("key") => {
                let text = field.text().await.map_err(|error| refused_form(&error))?;
                key = Some(text).filter(|text| !text.is_empty());
            }
            Some("replace") => {
                let text = field.text().await.map_err(|error| refused_form(&error))?;
                replace = text
                    .trim()
                    .parse()
                    .map_err(|_| wrong(&["replace"], "must be true or false"))?;
            }
            _ => return Err(wrong(&[], "the form's fields are file, key and replace")),
        }
    }
    let file = file.ok_or_else(|| wrong(&[FILE], "is required: the card"))?;
    Ok(PersonaImportForm { file, key, replace })
}
