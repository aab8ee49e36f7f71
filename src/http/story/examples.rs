//! The smallest requests that show what each endpoint takes. The documentation offers them to try.

/// The contract's own.
pub const CHAPTER: &str = r#"{"structured_context": {"plot_elements": [{"type": "scene", "content": "Hero enters forest", "priority": "high"}], "character_contexts": [{"character_id": "hero", "character_name": "Aria", "current_state": "determined"}], "user_requests": [{"type": "instruction", "content": "Add sensory details", "priority": "high"}]}}"#;

pub(in crate::http) const MODIFY: &str = r#"{"currentChapter": "Aria walked into the forest. It was quiet. She found the gate.", "userRequest": "Let it rain.", "structured_context": {"plot_elements": [{"type": "setting", "content": "The forest has no paths."}]}}"#;

pub(in crate::http) const AGENTIC: &str = r#"{"currentChapter": "Aria walked into the forest. It was quiet. She found the gate.", "userRequest": "Let it rain.", "structured_context": {}, "agentic_config": {"max_iterations": 2}}"#;

pub(in crate::http) const CHARACTER: &str = r#"{"plotPoint": "The gate falls shut behind Aria.", "structured_context": {"character_contexts": [{"character_id": "hero", "character_name": "Aria", "current_state": "determined", "goals": ["find her brother"], "memories": ["the warden's warning"]}]}}"#;

pub(in crate::http) const REVIEW: &str = r#"{"chapterToReview": "Aria walked into the forest. It was quiet. She found the gate.", "structured_context": {"system_instructions": [{"type": "style", "content": "Short sentences.", "scope": "global"}]}}"#;

pub(in crate::http) const RATING: &str = r#"{"raterPrompt": "You read for suspense.", "plotPoint": "Aria finds the gate, and it opens by itself.", "dimensions": ["suspense", "clarity"], "structured_context": {}}"#;

pub(in crate::http) const PANEL: &str = r#"{"chapter": "Aria walked into the forest. It was quiet. She found the gate.", "editors": [{"name": "Line editor"}], "raters": [{"name": "Suspense", "prompt": "You read for suspense."}, {"name": "Prose", "prompt": "You read for style."}], "characters": ["hero"], "structured_context": {"character_contexts": [{"character_id": "hero", "character_name": "Aria"}]}}"#;

pub(in crate::http) const FLESH_OUT: &str = r#"{"textToFleshOut": "Aria finds the gate.", "context": "the end of a chapter", "structured_context": {}}"#;

pub(in crate::http) const DETAILS: &str = r#"{"basicBio": "Aria is a smith's daughter of nineteen who left her village to look for her brother.", "existingCharacters": [{"name": "Tom", "basicBio": "Her brother, a miller."}], "structured_context": {}}"#;

pub(in crate::http) const BIO: &str = r#"{"name": "Aria", "age": 19, "personality": "brave, short-tempered", "motivations": "to find her brother", "fears": "the dark"}"#;

pub(in crate::http) const OUTLINES: &str = r#"{"story_outline": "Aria leaves her village to look for her brother, finds a gate in the forest, and learns that he closed it himself.", "generation_preferences": {"tone": "quiet"}}"#;

pub(in crate::http) const CONVERSATION: &str = r#"{"messages": [{"role": "user", "content": "Why does the gate open by itself?"}], "agent_type": "worldbuilding", "compose_context": {"story_context": {"world": "A forest without paths."}}}"#;

pub(in crate::http) const TRANSITION: &str = r#"{"from_phase": "plot_outline", "to_phase": "chapter_detail", "phase_output": "Aria must find her brother against the will of the Warden.", "story_context": {"characters": [{"name": "Aria"}]}}"#;

pub(in crate::http) const PREVIEW: &str = r#"{"agent": "writer", "windows": [4096, 8192], "structured_context": {"plot_elements": [{"type": "scene", "content": "Hero enters forest", "priority": "high"}]}}"#;
