//! Whose token is this: the hub's answers, kept for a while.
//!
//! A class posts several times a second, so the hub must not be asked for each POST. A good answer
//! counts for a minute, a bad one for ten seconds, and requests with one token wait for one
//! question. When the hub is away, the last good answer counts on for a quarter of an hour: a class
//! at work outlives a restart of the hub. A token that was not seen before cannot be checked then.
//!
//! Wrong tokens must not keep a class from working. So they have a cache of their own, and
//! questions about them have their own connections: whatever anyone sends, the tokens that were
//! good are asked about without a wait behind those.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use futures::FutureExt;
use futures::future::{BoxFuture, Shared};
use tokio::sync::{Semaphore, oneshot};
use tokio::time::Instant;

use super::api::{HUB_PATIENCE, HubError};
use super::user::{HubRefusal, HubUser};

/// How long a good answer counts without another question.
const GOOD_FOR: Duration = Duration::from_secs(60);
/// How long a bad answer counts.
const BAD_FOR: Duration = Duration::from_secs(10);
/// How long the last good answer counts on while the hub is away.
pub(super) const GRACE: Duration = Duration::from_secs(15 * 60);
/// The wait before a hub that is away is asked again about a token that was good.
const ASK_AGAIN: Duration = Duration::from_secs(10);
/// The most tokens that are known as good, and as bad.
const MAX_GOOD: usize = 20_000;
const MAX_BAD: usize = 10_000;
/// Questions at once about tokens that were good before, and about others.
const KNOWN_QUESTIONS: usize = 16;
const NEW_QUESTIONS: usize = 8;
/// The most questions about new tokens that wait. Further ones are turned away at once.
const MAX_WAITING: usize = 512;
/// The longest token that the hub is asked about, in bytes. The hub's own have 32 to 64.
const MAX_TOKEN: usize = 512;

type Answer = Result<Result<Arc<HubUser>, HubRefusal>, HubError>;
pub(super) type Ask = Box<
    dyn Fn(String) -> BoxFuture<'static, Result<Result<HubUser, HubRefusal>, HubError>>
        + Send
        + Sync,
>;
/// A hash of the token: the cache holds no token that could be used.
type Key = [u8; 32];

/// Asks the hub about tokens. Cheap to clone.
#[derive(Clone)]
pub(super) struct TokenChecks {
    shared: Arc<SharedChecks>,
}

struct SharedChecks {
    ask: Ask,
    cache: Mutex<Cache>,
    known_questions: Semaphore,
    new_questions: Semaphore,
}

#[derive(Default)]
struct Cache {
    good: HashMap<Key, Good>,
    bad: HashMap<Key, HubRefusal>,
    /// The bad tokens in the order in which they end.
    bad_until: VecDeque<(Instant, Key)>,
    asking: HashMap<Key, Shared<oneshot::Receiver<Answer>>>,
    new_asking: usize,
}

struct Good {
    user: Arc<HubUser>,
    /// When the hub has last said so.
    said_at: Instant,
    ask_again_at: Instant,
}

impl TokenChecks {
    pub(super) fn new(ask: Ask) -> Self {
        let shared = SharedChecks {
            ask,
            cache: Mutex::default(),
            known_questions: Semaphore::new(KNOWN_QUESTIONS),
            new_questions: Semaphore::new(NEW_QUESTIONS),
        };
        Self { shared: Arc::new(shared) }
    }

    /// Whose token this is.
    ///
    /// # Errors
    /// If the hub cannot be asked now, and has not been asked about the token lately.
    pub(super) async fn user_of(&self, token: &str) -> Answer {
        if token.is_empty() || token.len() > MAX_TOKEN {
            return Ok(Err(HubRefusal::Unknown));
        }
        let key = key_of(token);
        let asked = {
            let mut cache = self.shared.cache();
            if let Some(answer) = cache.known(&key) {
                return Ok(answer);
            }
            match cache.asking.get(&key) {
                Some(asked) => asked.clone(),
                None => self.begin(&mut cache, key, token)?,
            }
        };
        // The task below always answers, unless the program ends.
        asked.await.unwrap_or_else(|_| Err(HubError::Away("the relay is going away".to_owned())))
    }

    /// Begins a question. It goes on even if whoever waits for it goes away.
    fn begin(
        &self,
        cache: &mut Cache,
        key: Key,
        token: &str,
    ) -> Result<Shared<oneshot::Receiver<Answer>>, HubError> {
        let was_good = cache.good.contains_key(&key);
        if !was_good {
            if cache.new_asking >= MAX_WAITING {
                return Err(HubError::Away("too many tokens are being checked".to_owned()));
            }
            cache.new_asking += 1;
        }
        let (answer, asked) = oneshot::channel();
        let asked = asked.shared();
        cache.asking.insert(key, asked.clone());
        let (shared, token) = (Arc::clone(&self.shared), token.to_owned());
        tokio::spawn(async move {
            let said = shared.ask(token, was_good).await;
            let mut cache = shared.cache();
            cache.asking.remove(&key);
            if !was_good {
                cache.new_asking -= 1;
            }
            // No receiver is left if every request with this token went away.
            let _ = answer.send(cache.note(key, said));
        });
        Ok(asked)
    }
}

impl SharedChecks {
    fn cache(&self) -> MutexGuard<'_, Cache> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn ask(
        &self,
        token: String,
        was_good: bool,
    ) -> Result<Result<HubUser, HubRefusal>, HubError> {
        let turn = if was_good { &self.known_questions } else { &self.new_questions };
        let deadline = Instant::now() + HUB_PATIENCE;
        let late = || Err(HubError::Away(format!("no answer within {HUB_PATIENCE:?}")));
        let question = async {
            let _turn = turn.acquire().await;
            // All who wait for a slow hub get their turns when those before them give up, which is
            // their own deadline too.
            if deadline <= Instant::now() { late() } else { (self.ask)(token).await }
        };
        tokio::time::timeout_at(deadline, question).await.unwrap_or_else(|_| late())
    }
}

impl Cache {
    /// The answer that still counts, if there is one.
    fn known(&mut self, key: &Key) -> Option<Result<Arc<HubUser>, HubRefusal>> {
        let now = Instant::now();
        while let Some((until, ended)) = self.bad_until.front()
            && *until <= now
        {
            self.bad.remove(ended);
            self.bad_until.pop_front();
        }
        if let Some(refusal) = self.bad.get(key) {
            return Some(Err(*refusal));
        }
        let good = self.good.get(key).filter(|good| now < good.ask_again_at)?;
        Some(Ok(Arc::clone(&good.user)))
    }

    /// Notes what the hub said, and returns what counts now.
    fn note(&mut self, key: Key, said: Result<Result<HubUser, HubRefusal>, HubError>) -> Answer {
        let now = Instant::now();
        match said {
            Ok(Ok(user)) => {
                let user = Arc::new(user);
                if self.good.len() >= MAX_GOOD && !self.good.contains_key(&key) {
                    self.evict(now);
                }
                let ask_again_at = now + GOOD_FOR;
                let good = Good { user: Arc::clone(&user), said_at: now, ask_again_at };
                self.good.insert(key, good);
                Ok(Ok(user))
            }
            Ok(Err(refusal)) => {
                self.good.remove(&key);
                if self.bad.len() >= MAX_BAD
                    && let Some((_, oldest)) = self.bad_until.pop_front()
                {
                    self.bad.remove(&oldest);
                }
                if self.bad.insert(key, refusal).is_none() {
                    self.bad_until.push_back((now + BAD_FOR, key));
                }
                Ok(Err(refusal))
            }
            Err(error) => match self.good.get_mut(&key) {
                Some(good) if now < good.said_at + GRACE => {
                    good.ask_again_at = now + ASK_AGAIN;
                    Ok(Ok(Arc::clone(&good.user)))
                }
                _ => {
                    self.good.remove(&key);
                    Err(error)
                }
            },
        }
    }

    /// Removes good tokens that were not seen for long; if there is none, the oldest one.
    fn evict(&mut self, now: Instant) {
        self.good.retain(|_, good| now < good.said_at + GRACE);
        if self.good.len() >= MAX_GOOD {
            let oldest = self.good.iter().min_by_key(|(_, good)| good.said_at);
            if let Some(oldest) = oldest.map(|(key, _)| *key) {
                self.good.remove(&oldest);
            }
        }
    }
}

fn key_of(token: &str) -> Key {
    let mut key = Key::default();
    key.copy_from_slice(digest(&SHA256, token.as_bytes()).as_ref());
    key
}

impl fmt::Debug for TokenChecks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenChecks")
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures::future::join_all;
    use tokio::sync::watch;

    use super::*;
    use crate::access::caller::Caller;

    /// A hub that answers what it is told to, and counts the questions.
    #[derive(Clone)]
    struct Hub {
        /// `None`: it does not answer.
        says: watch::Sender<Option<Result<Result<(), HubRefusal>, HubError>>>,
        asked: Arc<AtomicUsize>,
    }

    impl Hub {
        fn new() -> (Self, TokenChecks) {
            let hub = Self { says: watch::Sender::new(Some(Ok(Ok(())))), asked: Arc::default() };
            let (says, asked) = (hub.says.clone(), Arc::clone(&hub.asked));
            let checks = TokenChecks::new(Box::new(move |_| {
                asked.fetch_add(1, Ordering::Relaxed);
                let mut says = says.subscribe();
                async move {
                    let said = says.wait_for(Option::is_some).await.expect("the hub").clone();
                    said.expect("an answer").map(|said| said.map(|()| user()))
                }
                .boxed()
            }));
            (hub, checks)
        }

        fn say(&self, says: Option<Result<Result<(), HubRefusal>, HubError>>) {
            self.says.send_replace(says);
        }

        fn asked(&self) -> usize {
            self.asked.load(Ordering::Relaxed)
        }
    }

    fn user() -> HubUser {
        let caller = Arc::new(Caller::unknown());
        HubUser { by_token: Arc::clone(&caller), by_sign_in: caller }
    }

    fn away() -> Option<Result<Result<(), HubRefusal>, HubError>> {
        Some(Err(HubError::Away("gone".to_owned())))
    }

    #[tokio::test(start_paused = true)]
    async fn answers_count_for_a_while() {
        let (hub, checks) = Hub::new();
        for _ in 0..3 {
            assert!(checks.user_of("good").await.expect("an answer").is_ok());
        }
        assert_eq!(hub.asked(), 1);
        hub.say(Some(Ok(Err(HubRefusal::Unknown))));
        for _ in 0..3 {
            assert_eq!(checks.user_of("bad").await, Ok(Err(HubRefusal::Unknown)));
        }
        assert_eq!(hub.asked(), 2);
        // A token is known as revoked a minute later, and as good again ten seconds after that.
        tokio::time::advance(GOOD_FOR).await;
        assert_eq!(checks.user_of("good").await, Ok(Err(HubRefusal::Unknown)));
        hub.say(Some(Ok(Ok(()))));
        assert_eq!(checks.user_of("good").await, Ok(Err(HubRefusal::Unknown)));
        tokio::time::advance(BAD_FOR).await;
        assert!(checks.user_of("good").await.expect("an answer").is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn requests_with_one_token_wait_for_one_question() {
        let (hub, checks) = Hub::new();
        hub.say(None);
        let asking = tokio::spawn({
            let checks = checks.clone();
            async move { join_all((0..50).map(|_| checks.user_of("t"))).await }
        });
        // One who asked alone and went away does not end the question of the others.
        let gone = tokio::time::timeout(Duration::from_millis(1), checks.user_of("t")).await;
        assert!(gone.is_err());
        hub.say(Some(Ok(Ok(()))));
        let answers = asking.await.expect("answers");
        assert!(answers.iter().all(|answer| matches!(answer, Ok(Ok(_)))));
        assert_eq!(hub.asked(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn the_last_good_answer_outlives_the_hub_for_a_while() {
        let (hub, checks) = Hub::new();
        assert!(checks.user_of("good").await.expect("an answer").is_ok());
        hub.say(away());
        assert!(checks.user_of("new").await.is_err());
        for _ in 0..(GRACE.as_secs() / GOOD_FOR.as_secs()) - 1 {
            tokio::time::advance(GOOD_FOR).await;
            assert!(checks.user_of("good").await.expect("an answer").is_ok());
        }
        tokio::time::advance(GOOD_FOR).await;
        assert!(checks.user_of("good").await.is_err());
        // What was forgotten is asked about as if it were new.
        hub.say(Some(Ok(Ok(()))));
        assert!(checks.user_of("good").await.expect("an answer").is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_hub_is_waited_for_within_bounds() {
        let (hub, checks) = Hub::new();
        assert!(checks.user_of("good").await.expect("an answer").is_ok());
        tokio::time::advance(GOOD_FOR).await;
        hub.say(None);
        let began = Instant::now();
        let tokens: Vec<String> = (0..MAX_WAITING + 100).map(|n| n.to_string()).collect();
        let wrong = join_all(tokens.iter().map(|token| checks.user_of(token)));
        let (wrong, good) = tokio::join!(wrong, checks.user_of("good"));
        assert!(wrong.iter().all(Result::is_err));
        assert!(good.expect("the last answer").is_ok());
        assert_eq!(began.elapsed(), HUB_PATIENCE);
        assert_eq!(hub.asked(), 2 + NEW_QUESTIONS);
    }

    #[tokio::test(start_paused = true)]
    async fn wrong_tokens_neither_grow_the_cache_nor_push_out_good_ones() {
        let (hub, checks) = Hub::new();
        assert!(checks.user_of("good").await.expect("an answer").is_ok());
        hub.say(Some(Ok(Err(HubRefusal::Unknown))));
        for n in 0..MAX_BAD + 500 {
            assert!(checks.user_of(&n.to_string()).await.expect("an answer").is_err());
        }
        let asked = hub.asked();
        assert!(checks.user_of("good").await.expect("an answer").is_ok());
        assert_eq!(hub.asked(), asked);
        let cache = checks.shared.cache();
        assert_eq!(
            (cache.bad.len(), cache.bad_until.len(), cache.good.len()),
            (MAX_BAD, MAX_BAD, 1)
        );
        assert!(cache.asking.is_empty() && cache.new_asking == 0);
    }
}
