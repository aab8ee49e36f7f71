//! Why a file can't be read, and what to do about it.

/// A file that the archive doesn't take.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadingError {
    #[error("the file is empty: send one that has text in it")]
    Empty,
    #[error("the file is {0}, not text: convert it to text, Markdown, HTML or EPUB")]
    Binary(String),
    #[error(
        "the file has {bytes} bytes and at most {largest} are taken: split it, or raise \
         ARCHIVE_MAX_FILE_BYTES"
    )]
    TooLarge { bytes: usize, largest: usize },
    #[error(
        "the file's text has more than {largest} bytes: split the file, or raise \
         ARCHIVE_MAX_FILE_BYTES"
    )]
    TooMuchText { largest: usize },
    #[error(
        "the EPUB unpacks to more than {most} bytes: leave out its pictures, or raise \
         ARCHIVE_MAX_FILE_BYTES"
    )]
    UnpacksTooLarge { most: usize },
    #[error("the EPUB holds more than {most} files: convert it to text, HTML or a simpler EPUB")]
    TooManyFiles { most: usize },
    #[error("the EPUB is damaged ({0}): get it again, or convert it to text or HTML")]
    Damaged(String),
    #[error("the EPUB is encrypted (DRM): get one without copy protection")]
    Encrypted,
    #[error("the page can't be read ({0}): convert it to text")]
    Unreadable(String),
    #[error("the {0} has no text in it: if its pages are pictures, run text recognition first")]
    NoText(&'static str),
}

impl ReadingError {
    /// Whether there is simply too much of it.
    pub fn is_size(&self) -> bool {
        matches!(
            self,
            Self::TooLarge { .. }
                | Self::TooMuchText { .. }
                | Self::UnpacksTooLarge { .. }
                | Self::TooManyFiles { .. }
        )
    }
}
