//! Carries out what a plan asks: elements told shorter, and those told together, until the plan asks
//! for nothing more.

use super::StoryError;
use super::answering::blocking;
use super::elements::strategy;
use std::time::Instant;

use super::job::PlannedJob;
use crate::context::{self, Audience, Element, Gathering, Short};
use crate::distil::{Distilled, Source, Urgency};
use crate::tokens::TokenCount;

/// What a shorter telling really takes can differ from what the plan expected, and so change it.
const ROUNDS: usize = 3;
/// Of the threshold for telling shorter: above it a person would wait for minutes.
const EMERGENCY: f64 = 1.2;
/// The line's end after an element.
const LINE_END: TokenCount = TokenCount::new(1);

impl PlannedJob {
    /// Until everything fits, as far as it can. `done` hears how many elements are told.
    pub(super) async fn shortened(
        mut self,
        done: impl Fn(usize) + Send + Sync,
    ) -> Result<Self, StoryError> {
        let mut finished = 0;
        let mut urgency = self.urgency();
        let started = Instant::now();
        for _ in 0..ROUNDS {
            if self.plan.is_settled() {
                break;
            }
            let (so_far, planned) = (finished, self.plan.shorten.len());
            let told = |now: usize| done(so_far + now.min(planned));
            self.shorten_each(urgency, &told).await?;
            finished += planned;
            for gathering in self.plan.gather.clone() {
                if started.elapsed() >= self.service.distiller.patience() {
                    urgency = Urgency::Emergency;
                }
                finished += gathering.members.len();
                self.tell_together(&gathering, urgency).await?;
                done(finished);
            }
            self.put_summaries_in_place();
            self = blocking(move || self.planned_again()).await?;
        }
        Ok(self)
    }

    /// How long the model may take.
    fn urgency(&self) -> Urgency {
        let gathered = self.plan.gather.iter().flat_map(|gathering| &gathering.members);
        let all = self.plan.shorten.iter().chain(gathered);
        let tokens: TokenCount = all.map(|&at| self.elements[at].tokens).sum();
        let threshold = self.service.settings.summarization_threshold;
        if tokens > threshold.scaled(EMERGENCY) { Urgency::Emergency } else { Urgency::Rolling }
    }

    async fn shorten_each(
        &mut self,
        urgency: Urgency,
        done: &(dyn Fn(usize) + Send + Sync),
    ) -> Result<(), StoryError> {
        let at = self.plan.shorten.clone();
        let sources = at.iter().map(|&at| source(&self.elements[at])).collect();
        let distiller = &self.service.distiller;
        let shorter = distiller.distil(&self.job.client, sources, urgency, done).await?;
        for (at, shorter) in at.into_iter().zip(shorter) {
            self.elements[at].short = Some(short(shorter));
        }
        Ok(())
    }

    /// Adds one element that tells all members.
    async fn tell_together(
        &mut self,
        gathering: &Gathering,
        urgency: Urgency,
    ) -> Result<(), StoryError> {
        let members: Vec<_> = gathering.members.iter().map(|&at| &self.elements[at]).collect();
        let Some(first) = members.first() else { return Ok(()) };
        let (kind, layer, keep_end) = (first.kind, first.layer, first.keep_end);
        let audience = members.iter().fold(Audience::EVERYBODY, |all, it| all.and(it.audience));
        let priorities = members.iter().map(|it| it.priority);
        let priority =
            priorities.fold(first.priority, |one, other| if other > one { other } else { one });
        let sources = members.iter().map(|it| source(it)).collect();
        let target = gathering.tokens - LINE_END;
        let distiller = &self.service.distiller;
        let together = distiller.roll(&self.job.client, sources, target, urgency, &|_| {}).await?;
        let together = short(together);
        let number = self.elements.iter().filter(|it| it.tells_others).count() + 1;
        let id = format!("together-{}-{number}", layer.letter());
        for &at in &gathering.members {
            self.elements[at].told_by = Some(id.clone());
        }
        let (text, tokens) = (together.text.clone(), together.tokens);
        let position = gathering.members[0];
        self.elements.push(Element {
            audience,
            priority,
            tokens,
            keep_end,
            type_name: "summary".to_owned(),
            short: Some(together),
            tells_others: true,
            ..Element::new(id, kind, layer, text, position)
        });
        Ok(())
    }

    /// A summary stands where the first of what it tells stood: that is its place in the story.
    fn put_summaries_in_place(&mut self) {
        self.elements.sort_by_key(|element| (element.position, !element.tells_others));
        for (at, element) in self.elements.iter_mut().enumerate() {
            element.position = at;
        }
    }

    fn planned_again(mut self) -> Result<Self, StoryError> {
        let counter = self.service.counter()?;
        let room = self.service.wanted_room(&self.job, &self.elements, self.window.room());
        let rules = self.service.rules(&self.job, room);
        self.plan = context::plan(&self.elements, &rules, &*counter)?;
        Ok(self)
    }
}

fn source(element: &Element) -> Source {
    Source {
        id: element.id.clone(),
        text: element.text.clone(),
        tokens: element.tokens,
        // What is planned to be told shorter has a strategy for it.
        strategy: strategy(element.kind, &element.type_name)
            .unwrap_or(crate::distil::Strategy::PlotSummary),
    }
}

fn short(distilled: Distilled) -> Short {
    let Distilled { text, tokens, account } = distilled;
    Short { text, tokens: tokens + LINE_END, account }
}
