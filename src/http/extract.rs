//! What is read of a request: the names in its path; its body, JSON whatever the content type says,
//! and every fault of a bad one at once, each with its path. The fast way is serde alone; only a body
//! that serde refuses is held against the type's JSON Schema.

use std::time::Duration;

use axum::body::Bytes;
use axum::extract::multipart::MultipartError;
use axum::extract::rejection::{BytesRejection, PathRejection};
use axum::extract::{FromRequest, FromRequestParts, Path, Request};
use axum::http::StatusCode;
use axum::http::request::Parts;
use jsonschema::ValidationError;
use jsonschema::error::{TypeKind, ValidationErrorKind};
use jsonschema::paths::LocationSegment;
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::error::{ApiError, Code, FaultKind, FieldFault, MOST_FAULTS};

/// Only bodies up to this size are held against the schema: a validator collects every fault, and a
/// large body can have millions.
const LARGEST_EXPLAINED: usize = 256 * 1024;
/// Longest message about one fault: a schema's message may quote the value, however long it is.
const LONGEST_MESSAGE: usize = 300;

/// The longest that a body may take to come: whoever sends it bit by bit holds a connection meanwhile.
const BODY_TIME: Duration = Duration::from_mins(1);

/// The largest body that some routes take, where that is less than `MAX_REQUEST_BYTES`.
#[derive(Clone, Copy, Debug)]
pub(super) struct LargestHere(pub(super) usize);

/// A body as it came.
pub(super) struct Whole(pub(super) Bytes);

impl<S: Send + Sync> FromRequest<S> for Whole {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let largest = request.extensions().get::<LargestHere>().copied();
        let reading = async {
            let bytes = Bytes::from_request(request, state).await;
            bytes.map(Self).map_err(|rejection| unreadable(&rejection, largest))
        };
        in_time(BODY_TIME, reading).await
    }
}

/// A body that is being read, as long as that takes no longer than [`BODY_TIME`].
pub(super) async fn in_body_time<T>(
    reading: impl Future<Output = Result<T, ApiError>>,
) -> Result<T, ApiError> {
    in_time(BODY_TIME, reading).await
}

async fn in_time<T>(
    time: Duration,
    reading: impl Future<Output = Result<T, ApiError>>,
) -> Result<T, ApiError> {
    let Ok(read) = tokio::time::timeout(time, reading).await else {
        let seconds = BODY_TIME.as_secs();
        return Err(ApiError::new(
            Code::RequestTimeout,
            format!("the body didn't come within {seconds} seconds; send it faster, or in parts"),
        ));
    };
    read
}

/// A JSON body of type `T`.
pub(super) struct JsonBody<T>(pub(super) T);

impl<S, T> FromRequest<S> for JsonBody<T>
where
    S: Send + Sync,
    T: DeserializeOwned + JsonSchema + Send + 'static,
{
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, Self::Rejection> {
        let Whole(bytes) = Whole::from_request(request, state).await?;
        // Large bodies take a while.
        tokio::task::spawn_blocking(move || parse(&bytes))
            .await
            .map_err(ApiError::internal)?
            .map(Self)
    }
}

/// What the path names, such as `{session}`. A name may be any text.
pub(super) struct PathNames(Vec<(String, String)>);

impl PathNames {
    /// Whether the route has such a parameter, and its value.
    pub(super) fn take(&mut self, name: &str) -> Option<String> {
        let (_, value) = self.0.iter_mut().find(|(found, _)| found == name)?;
        Some(std::mem::take(value))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for PathNames {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Self::Rejection> {
        match Path::from_request_parts(parts, state).await {
            Ok(Path(names)) => Ok(Self(names)),
            // A route without any.
            Err(PathRejection::MissingPathParams(_)) => Ok(Self(Vec::new())),
            Err(_) => Err(ApiError::new(
                Code::BadRequest,
                "the names in the path must be UTF-8, percent-encoded",
            )),
        }
    }
}

/// A body that couldn't be read to its end.
fn unreadable(rejection: &BytesRejection, largest: Option<LargestHere>) -> ApiError {
    match rejection.status().as_u16() {
        413 => too_large(largest),
        _ => ApiError::new(Code::BadRequest, rejection.body_text()),
    }
}

/// A form that breaks off, is too large or is none.
pub(super) fn refused_form(error: &MultipartError) -> ApiError {
    match error.status() {
        StatusCode::PAYLOAD_TOO_LARGE => too_large(None),
        _ => ApiError::new(Code::BadRequest, format!("the form can't be read: {error}")),
    }
}

pub(super) fn too_large(largest: Option<LargestHere>) -> ApiError {
    let detail = match largest {
        None => "the body is larger than MAX_REQUEST_BYTES allows".to_owned(),
        Some(LargestHere(bytes)) => {
            format!("the body is too large: here it has {} KiB at most", bytes / 1024)
        }
    };
    ApiError::new(Code::BodyTooLarge, detail)
}

fn parse<T: DeserializeOwned + JsonSchema>(bytes: &[u8]) -> Result<T, ApiError> {
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let refused = match serde_path_to_error::deserialize(&mut deserializer) {
        Ok(value) => match deserializer.end() {
            Ok(()) => return Ok(value),
            Err(error) => return Err(malformed(&error)),
        },
        Err(error) => error,
    };
    if !refused.inner().is_data() {
        return Err(malformed(refused.inner()));
    }
    let mut faults = if bytes.len() <= LARGEST_EXPLAINED {
        let body: Value = serde_json::from_slice(bytes).map_err(|error| malformed(&error))?;
        faults_against_schema::<T>(&body)
    } else {
        Vec::new()
    };
    if faults.is_empty() {
        let path = refused.path().iter().filter_map(step).collect();
        let mut message = shortened(&refused.inner().to_string());
        if bytes.len() > LARGEST_EXPLAINED {
            message.push_str("; in a body as large as this one there may be more faults");
        }
        faults.push(FieldFault { path, message, kind: FaultKind::Wrong });
    }
    Err(ApiError::invalid(faults))
}

fn malformed(error: &serde_json::Error) -> ApiError {
    let message = format!("the body is not valid JSON: {error}");
    let kind = FaultKind::NotJson;
    let fault = FieldFault { path: Vec::new(), message: message.clone(), kind };
    ApiError { faults: vec![fault], ..ApiError::new(Code::MalformedJson, message) }
}

fn faults_against_schema<T: JsonSchema>(body: &Value) -> Vec<FieldFault> {
    let schema = schemars::schema_for!(T).to_value();
    let Ok(validator) = jsonschema::validator_for(&schema) else {
        return Vec::new();
    };
    let mut faults = Vec::new();
    for error in validator.iter_errors(body) {
        collect_faults(&error, &mut faults);
    }
    faults.truncate(MOST_FAULTS);
    faults
}

/// An optional object is "that object, or null" to a schema. Where just one of several alternatives
/// is of the right type at all, its own faults say what is wrong; where none is, their types do.
fn collect_faults(error: &ValidationError<'_>, faults: &mut Vec<FieldFault>) {
    let mut types_meant = Vec::new();
    if let ValidationErrorKind::AnyOf { context } = error.kind() {
        let is_wrong_type = |fault: &ValidationError<'_>| {
            matches!(fault.kind(), ValidationErrorKind::Type { .. })
                && fault.instance_path() == error.instance_path()
        };
        let mut meant = context.iter().filter(|branch| !branch.iter().any(is_wrong_type));
        if let (Some(branch), None) = (meant.next(), meant.next()) {
            for fault in branch {
                collect_faults(fault, faults);
            }
            return;
        }
        if context.iter().all(|branch| branch.iter().any(is_wrong_type)) {
            types_meant = context.iter().flatten().flat_map(types_of).collect();
        }
    }
    let path = error.instance_path().iter().map(|segment| match segment {
        LocationSegment::Property(key) => Value::from(key.as_ref()),
        LocationSegment::Index(index) => Value::from(index),
    });
    let mut path: Vec<_> = path.collect();
    let mut kind = FaultKind::Wrong;
    let message = match error.kind() {
        ValidationErrorKind::Required { property } => {
            path.push(property.clone());
            kind = FaultKind::Missing;
            "is required".to_owned()
        }
        ValidationErrorKind::Enum { options } => format!("must be one of {options}"),
        ValidationErrorKind::AnyOf { .. } if !types_meant.is_empty() => must_be(types_meant),
        _ => error.masked_with("the value").to_string(),
    };
    faults.push(FieldFault { path, message: shortened(&message), kind });
}

/// The types that a value should have had, by JSON Schema's names.
fn types_of(fault: &ValidationError<'_>) -> Vec<String> {
    match fault.kind() {
        ValidationErrorKind::Type { kind: TypeKind::Single(one) } => vec![one.to_string()],
        ValidationErrorKind::Type { kind: TypeKind::Multiple(all) } => {
            all.iter().map(|one| one.to_string()).collect()
        }
        _ => Vec::new(),
    }
}

/// Null goes without saying, unless nothing else is meant.
fn must_be(mut types: Vec<String>) -> String {
    types.sort_unstable();
    types.dedup();
    if types.len() > 1 {
        types.retain(|name| name != "null");
    }
    let in_words = types.iter().map(|name| match name.as_str() {
        "object" => "an object",
        "array" => "a list",
        "string" => "a text",
        "integer" => "a whole number",
        "boolean" => "true or false",
        "number" => "a number",
        _ => "null",
    });
    format!("must be {}", in_words.collect::<Vec<_>>().join(" or "))
}

fn step(segment: &serde_path_to_error::Segment) -> Option<Value> {
    use serde_path_to_error::Segment;
    match segment {
        Segment::Seq { index } => Some(Value::from(*index)),
        Segment::Map { key } => Some(Value::from(key.as_str())),
        Segment::Enum { .. } | Segment::Unknown => None,
    }
}

fn shortened(message: &str) -> String {
    if message.len() <= LONGEST_MESSAGE {
        return message.to_owned();
    }
    format!("{}…", &message[..message.floor_char_boundary(LONGEST_MESSAGE)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_body_that_never_comes_is_given_up() {
        let never = std::future::pending::<Result<(), ApiError>>();
        let told = in_time(Duration::from_millis(1), never).await.unwrap_err();
        assert_eq!((told.code, told.code.status().as_u16()), (Code::RequestTimeout, 408));
        assert!(in_time(BODY_TIME, async { Ok(()) }).await.is_ok());
    }
}
