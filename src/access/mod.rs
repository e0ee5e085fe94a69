//! Who calls: every request is resolved to a caller before its handler runs.
//!
//! - `caller`: the caller, its role, and what the role may do; `scope`: the classes of a caller
//! - `credential`: what a request brings to prove who calls; `denial`: why it does not
//! - `sources`: asks the configured sources who a credential belongs to; `config`: which they are
//! - `jwt`: tokens; `revocations`: what is revoked; `files`: reads files, with bounds
//! - `session`: the sessions of browsers that have signed in, and one-time links; `sign_outs`: the
//!   sessions that were signed out
//! - `hub`: users of a JupyterHub; `proxied`: users of a trusted proxy; `groups`: from
//!   a user's groups to a role and classes
//!
//! This folder knows neither HTTP's requests nor sockets; the gate takes credentials out of
//! requests, and answers denials.

mod caller;
mod config;
mod credential;
mod denial;
mod files;
mod groups;
mod hub;
mod jwt;
mod proxied;
mod revocations;
mod scope;
mod session;
mod sign_outs;
mod sources;

pub(crate) use caller::{Caller, Right, Role};
pub(crate) use config::{ClaimPointers, Config, JwtConfig, KeysLocation, Pointer};
pub(crate) use credential::Credential;
pub(crate) use denial::Denial;
pub(crate) use groups::{GroupPattern, GroupRules};
pub(crate) use hub::{ApiToken, Hub, HubConfig, HubSettings, SignInError};
pub(crate) use jwt::{Secret, Unverified};
pub(crate) use scope::Scope;
pub(crate) use session::{LINK_LIFETIME, Sessions};
pub(crate) use sources::{Access, CallerEnd};
