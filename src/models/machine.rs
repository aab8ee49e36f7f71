//! The command to type where Python is missing: it depends on the operating system.

/// How to get Python with pip on this kind of machine.
pub(super) fn install_command() -> &'static str {
    if cfg!(target_os = "macos") {
        "brew install python"
    } else {
        "sudo apt-get install python3-pip (Debian, Ubuntu; elsewhere your package manager's python3 and pip)"
    }
}
