//! Receipts kept in the database, so that a client can ask for one by its id. The newest so many are
//! kept; they hold ids and sizes, no story text.

use rusqlite::{OptionalExtension, params};

use crate::context::Receipt;
use crate::ids::ReceiptId;
use crate::store::{Store, StoreError};

#[derive(Clone)]
pub struct ReceiptBook {
    store: Store,
    kept: usize,
}

impl ReceiptBook {
    pub fn new(store: Store, kept: usize) -> Self {
        Self { store, kept }
    }

    /// Stores the receipt, in place of an earlier state of the same one, and forgets the oldest
    /// beyond the limit.
    pub async fn save(&self, receipt: &Receipt) -> Result<(), StoreError> {
        let id = receipt.id.to_string();
        let body = serde_json::to_string(receipt)?;
        let kept = i64::try_from(self.kept).unwrap_or(i64::MAX);
        self.store
            .run(move |connection| {
                let transaction = connection.transaction()?;
                transaction.execute(
                    "INSERT INTO receipts (id, body) VALUES (?1, ?2)
                     ON CONFLICT (id) DO UPDATE SET body = excluded.body",
                    params![id, body],
                )?;
                // Ids sort by time.
                transaction.execute(
                    "DELETE FROM receipts WHERE id <=
                        (SELECT id FROM receipts ORDER BY id DESC LIMIT 1 OFFSET ?1)",
                    params![kept],
                )?;
                Ok(transaction.commit()?)
            })
            .await
    }

    pub async fn find(&self, id: ReceiptId) -> Result<Option<Receipt>, StoreError> {
        self.store
            .run(move |connection| {
                let body: Option<String> = connection
                    .query_row("SELECT body FROM receipts WHERE id = ?1", [id.to_string()], |row| {
                        row.get(0)
                    })
                    .optional()?;
                Ok(body.map(|body| serde_json::from_str(&body)).transpose()?)
            })
            .await
    }
}
