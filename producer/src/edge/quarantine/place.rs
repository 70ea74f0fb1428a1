//! Where the store is: a folder of this machine, or a bucket of an S3-compatible service.

use object_store::aws::{AmazonS3Builder, AwsCredential, AwsCredentialProvider};
use object_store::client::{
    ClientOptions, CredentialProvider, CryptoProvider, DigestAlgorithm, DigestContext, HmacContext, HttpClient,
    HttpConnector, HttpError, HttpRequest, HttpResponse, HttpService, Signer, SigningAlgorithm,
};
use object_store::local::LocalFileSystem;
use object_store::path::Path as Key;
use object_store::{BackoffConfig, ObjectStore, RetryConfig};
use platform::exit::Failure;
use platform::secrets::SecretFile;
use platform::telemetry::TraceContext;
use reqwest::header::HeaderValue;
use std::fs::{DirBuilder, Permissions, set_permissions};
use std::future::Future;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest as _, Sha256};

/// How long one request to the bucket may take.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// How long a request is tried again for.
const RETRY_TIMEOUT: Duration = Duration::from_secs(60);

/// Where the store is.
#[derive(Debug, Clone)]
pub enum Place {
    /// A folder.
    Folder(PathBuf),
    /// A bucket.
    Bucket(Bucket),
}

/// A bucket of an S3-compatible service.
#[derive(Debug, Clone)]
pub struct Bucket {
    /// Its name.
    pub name: String,
    /// What the names of our objects begin with; may be empty.
    pub prefix: Key,
    /// The service; none: that of Amazon in `region`.
    pub endpoint: Option<String>,
    /// The service's region.
    pub region: String,
    /// File with the id of the access key.
    pub key_id: Arc<SecretFile>,
    /// File with the access key itself.
    pub secret_key: Arc<SecretFile>,
}

/// What `quarantine.url` says.
#[derive(Debug, PartialEq, Eq)]
pub enum Address {
    /// A folder.
    Folder(PathBuf),
    /// Name of a bucket, and a prefix.
    Bucket(String, Key),
}

impl Address {
    /// Reads `file:///folder` or `s3://bucket/prefix`; none for anything else.
    #[must_use]
    pub fn parse(url: &str) -> Option<Self> {
        let url = reqwest::Url::parse(url).ok()?;
        if url.query().is_some() || url.fragment().is_some() || !url.username().is_empty() || url.password().is_some() {
            return None;
        }
        match url.scheme() {
            "file" => url.to_file_path().ok().map(Self::Folder),
            "s3" if url.port().is_none() => {
                let bucket = url.host_str().filter(|host| !host.is_empty())?;
                Some(Self::Bucket(bucket.to_owned(), Key::from_url_path(url.path()).ok()?))
            }
            _ => None,
        }
    }
}

impl Place {
    /// The store there.
    pub(super) fn open(&self) -> Result<Arc<dyn ObjectStore>, Failure> {
        let bad = |error: Box<dyn std::error::Error + Send + Sync>| {
            Failure::config("quarantine.url: the store cannot be opened").because(error)
        };
        match self {
            Self::Folder(folder) => {
                DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(|error| bad(error.into()))?;
                let store = LocalFileSystem::new_with_prefix(folder).map_err(|error| bad(error.into()))?;
                // What is counted as kept is on disk. Empty folders go with their last file.
                Ok(Arc::new(store.with_fsync(true).with_automatic_cleanup(true)))
            }
            Self::Bucket(bucket) => {
                let keys = Keys { id: Arc::clone(&bucket.key_id), secret: Arc::clone(&bucket.secret_key) };
                let credentials: AwsCredentialProvider = Arc::new(keys);
                let retry =
                    RetryConfig { backoff: BackoffConfig::default(), max_retries: 3, retry_timeout: RETRY_TIMEOUT };
                let mut builder = AmazonS3Builder::new()
                    .with_bucket_name(&bucket.name)
                    .with_region(&bucket.region)
                    .with_credentials(credentials)
                    .with_crypto_provider(Arc::new(Sha2))
                    .with_http_connector(Connector)
                    .with_retry(retry);
                if let Some(endpoint) = &bucket.endpoint {
                    builder = builder.with_endpoint(endpoint);
                }
                Ok(Arc::new(builder.build().map_err(|error| bad(error.into()))?))
            }
        }
    }

    /// What all our objects begin with.
    pub(super) fn prefix(&self) -> Option<&Key> {
        match self {
            Self::Bucket(bucket) if !bucket.prefix.as_ref().is_empty() => Some(&bucket.prefix),
            Self::Bucket(_) | Self::Folder(_) => None,
        }
    }

    /// The key of an object of a batch.
    pub(super) fn key(&self, batch: &str, name: &str) -> Key {
        self.prefix().cloned().unwrap_or_default().join(batch).join(name)
    }

    /// `<batch id>/<name>` of a key.
    pub(super) fn id(&self, key: &Key) -> Option<String> {
        let parts: Vec<_> = key.parts().collect();
        let [.., batch, name] = parts.as_slice() else { return None };
        Some(format!("{}/{}", batch.as_ref(), name.as_ref()))
    }

    /// Makes the folder of a batch, which nobody but this user may enter, before anything is written into it: the
    /// store makes its files as the umask says, and they hold personal data from their first byte on.
    ///
    /// # Errors
    /// When it cannot be made so: then nothing may be written.
    pub(super) fn enclose(&self, batch: &str) -> std::io::Result<()> {
        let Self::Folder(folder) = self else { return Ok(()) };
        let of_batch = folder.join(batch);
        DirBuilder::new().recursive(true).mode(0o700).create(&of_batch)?;
        // It may have been there, made by somebody else.
        set_permissions(&of_batch, Permissions::from_mode(0o700))
    }

    /// Makes an object readable by this user alone, for the day on which it is copied elsewhere with its mode.
    pub(super) fn hide(&self, batch: &str, name: &str) {
        if let Self::Folder(folder) = self {
            let path = folder.join(batch).join(name);
            if let Err(error) = set_permissions(&path, Permissions::from_mode(0o600)) {
                tracing::warn!(path = %path.display(), error = %error, "the mode of a file in quarantine cannot be set");
            }
        }
    }
}

/// Our own client: no proxy of the environment sees the records. Whether plain HTTP may be used is asked of the
/// configuration, with all other links.
#[derive(Debug)]
struct Connector;

impl HttpConnector for Connector {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        let client = reqwest::Client::builder()
            .timeout(REQUEST_TIMEOUT)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .build()
            .map_err(|error| object_store::Error::Generic { store: "quarantine", source: Box::new(error) })?;
        Ok(HttpClient::new(Identified(client)))
    }
}

tokio::task_local! {
    /// The trace to which the requests of a task belong.
    pub(super) static TRACE: TraceContext;
}

/// Every request has an id of its own, also a repeated one, and belongs to the trace of what is kept: by both it is found
/// in the log of the service. They are no part of what is signed.
#[derive(Debug)]
struct Identified(reqwest::Client);

impl HttpService for Identified {
    fn call<'life, 'future>(
        &'life self,
        mut request: HttpRequest,
    ) -> Pin<Box<dyn Future<Output = Result<HttpResponse, HttpError>> + Send + 'future>>
    where
        'life: 'future,
        Self: 'future,
    {
        let trace = TRACE.try_with(TraceContext::child).unwrap_or_else(|_| TraceContext::new_root());
        let of = |text: String| HeaderValue::try_from(text).expect("digits and hyphens");
        request.headers_mut().insert("x-request-id", of(Uuid::now_v7().to_string()));
        request.headers_mut().insert("traceparent", of(trace.traceparent()));
        self.0.call(request)
    }
}

/// The access key, read again for each request: a new one in the files is taken up at once.
#[derive(Debug)]
struct Keys {
    id: Arc<SecretFile>,
    secret: Arc<SecretFile>,
}

impl CredentialProvider for Keys {
    type Credential = AwsCredential;

    fn get_credential<'life, 'future>(
        &'life self,
    ) -> Pin<Box<dyn Future<Output = object_store::Result<Arc<AwsCredential>>> + Send + 'future>>
    where
        'life: 'future,
        Self: 'future,
    {
        let read = |file: &SecretFile| {
            file.read_text()
                .map(|text| text.expose().to_owned())
                .map_err(|fault| object_store::Error::Generic { store: "quarantine", source: Box::new(fault) })
        };
        let credential = read(&self.id)
            .and_then(|key_id| Ok(Arc::new(AwsCredential { key_id, secret_key: read(&self.secret)?, token: None })));
        Box::pin(std::future::ready(credential))
    }
}

/// The hash of the requests' signatures, from the library that the identity key uses: no second one comes in.
#[derive(Debug)]
struct Sha2;

struct Hashed {
    running: Sha256,
    value: Vec<u8>,
}

struct Signed {
    running: Hmac<Sha256>,
    value: Vec<u8>,
}

fn unknown(what: &str) -> object_store::Error {
    object_store::Error::Generic { store: "quarantine", source: format!("{what} is not needed here").into() }
}

impl CryptoProvider for Sha2 {
    fn digest(&self, algorithm: DigestAlgorithm) -> object_store::Result<Box<dyn DigestContext>> {
        match algorithm {
            DigestAlgorithm::Sha256 => Ok(Box::new(Hashed { running: Sha256::new(), value: Vec::new() })),
            _ => Err(unknown("another digest")),
        }
    }

    fn hmac(&self, algorithm: DigestAlgorithm, secret: &[u8]) -> object_store::Result<Box<dyn HmacContext>> {
        match algorithm {
            DigestAlgorithm::Sha256 => {
                let running = Hmac::new_from_slice(secret).map_err(|_| unknown("a key of that length"))?;
                Ok(Box::new(Signed { running, value: Vec::new() }))
            }
            _ => Err(unknown("another digest")),
        }
    }

    fn sign(&self, _: SigningAlgorithm, _: &[u8]) -> object_store::Result<Box<dyn Signer>> {
        Err(unknown("a signature with a private key"))
    }
}

impl DigestContext for Hashed {
    fn update(&mut self, data: &[u8]) {
        self.running.update(data);
    }

    fn finish(&mut self) -> object_store::Result<&[u8]> {
        self.value = self.running.finalize_reset().to_vec();
        Ok(&self.value)
    }
}

impl HmacContext for Signed {
    fn update(&mut self, data: &[u8]) {
        self.running.update(data);
    }

    fn finish(&mut self) -> object_store::Result<&[u8]> {
        self.value = self.running.clone().finalize().into_bytes().to_vec();
        Ok(&self.value)
    }
}
