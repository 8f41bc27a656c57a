/** One of everything that `quota.yaml` can say. */
export const WHOLE_QUOTA = `
listen: { host: 127.0.0.1, port: 0 }
administration: { host: 127.0.0.1, port: 0, keys: [administrator-key-0001] }
providers:
  openai:
    target: https://api.openai.com
    path: /ai
    credential: { swap: a-key-of-the-gateway }
    credentialHeader: api-key
    unmetered: pass
    timeout: 30s
    forwarder: undici
keys:
  - id: k
    secret: a-secret-of-a-caller
    tenant: acme
    dimensions: { user: ann }
    groups: [staff]
    expires: 2999-01-31
    disabled: false
unregistered: refuse
plans:
  pro:
    version: '3'
    onExpiry: release
    onShortRoom: { lower: 16 }
    count: { on: success, refundOn: [5xx, 429, aborted] }
    labels: { price: '10' }
    limits:
      - name: a
        unit: requests
        quota: 5
        window: { fixed: month, zone: Europe/Berlin, count: 2, anchor: { dayOfMonth: 12, hour: 6 } }
        per: [user]
        when: { model: [gpt*], service: [mail], route: [/v1/*] }
        trip: reached
        onTrip: flag
        mode: shadow
        onChange: { quota: next-window, duration: now }
        onUnavailable: { local: 0.25 }
      - { name: b, unit: tokens, quota: 1, window: { sliding: 60s, buckets: 60 } }
      - { name: c, unit: tokens, quota: 1, window: { first-use: 24h, then: restart } }
      - { name: d, unit: tokens, quota: 1, window: { fixed: week, anchor: { weekday: 2 } } }
      - { name: e, unit: tokens, quota: null, window: { fixed: 90m } }
      - { name: f, unit: tokens, quota: 1, window: concurrent, onUnavailable: admit }
      - { name: g, unit: output-tokens, quota: 1, window: day, onStream: cut }
defaultPlans: [pro]
combine: any
assignments:
  - for: { group: staff, tenant: acme }
    plans: [pro]
    combine: any
severalGroups: any
overrides:
  - for: { user: ann }
    limit: pro/b
    quota: 5
    until: 2999-01-31
  - { for: { plan: pro }, limit: pro/c, quota: 7 }
nodes: 2
counters: memory
decideWithin: 100ms
durableWithin: 10ms
onLateEntry: break
guards:
  flood: { limit: 50, window: 2s }
  guesses: { limit: 5, window: 1m }
ledger: usage.db
durability: power
pepper: a-pepper-of-more-than-32-characters
spareRetries: 5m
sampleCounts: when-loaded
outputEstimate: learned
reportPath: /mine
rateLimitHeaders: [x]
exhaustedStatus: 402
trustProxy: loopback
bodyLimitBytes: 2048
shutdown: { delay: 0s, timeout: 1s }
log: warn
`
