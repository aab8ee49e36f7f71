//! `GET /receipts/{id}`.

use axum::Json;
use axum::extract::{Path, State};

use super::error::{ApiError, Code};
use crate::context::Receipt;
use crate::ids::ReceiptId;
use crate::receipts::ReceiptBook;

pub(super) async fn find(
    State(book): State<Option<ReceiptBook>>,
    Path(id): Path<String>,
) -> Result<Json<Receipt>, ApiError> {
    let missing = |detail: &str| ApiError::new(Code::NotFound, detail);
    let id: ReceiptId =
        id.parse().map_err(|_| missing("that is no receipt's id; it looks like a UUID"))?;
    let book = book.ok_or_else(|| {
        missing("receipts aren't kept here: CONTEXT_ENABLE_MONITORING is off or RECEIPTS_KEPT is 0")
    })?;
    let receipt = book.find(id).await?;
    receipt.map(Json).ok_or_else(|| {
        missing("there is no receipt with this id; only the newest RECEIPTS_KEPT are kept")
    })
}
