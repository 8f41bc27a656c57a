import { keyed, LEAST, limited, tellsPlaces, type MistakeCase } from './config-mistakes.ts'

/** Of plans, their limits, who has them, and overrides. */
const MISTAKES: readonly MistakeCase[] = [
  [
    'a unit that does not exist',
    limited('{ name: b, unit: bananas, quota: 1, window: day }'),
    'quota.yaml:6:20: plans.pro.limits.1.unit: use requests, tokens, input-tokens',
  ],
  [
    'a budget without prices',
    limited('{ name: b, unit: cost, quota: $1, window: day }'),
    'quota.yaml:6:20: plans.pro.limits.1.unit: plan pro counts cost, and nobody knows prices',
  ],
  [
    'a budget in plain numbers, which would be nanodollars',
    `prices: starter\n${limited('{ name: b, unit: cost, quota: 5, window: day }')}`,
    'quota.yaml:7:32: plans.pro.limits.1.quota: it counts money: use $5 or $0.25',
  ],
  [
    'money for what is not counted in money',
    limited('{ name: b, unit: tokens, quota: $5, window: day }'),
    'quota.yaml:6:34: plans.pro.limits.1.quota: it counts tokens: use a whole number',
  ],
  [
    'money that is none',
    limited('{ name: b, unit: tokens, quota: 5$, window: day }'),
    'quota.yaml:6:34: plans.pro.limits.1.quota: use a whole number, null, or, of cost, money such as $5',
  ],
  [
    'more money than there is room for',
    limited('{ name: b, unit: cost, quota: $4000001, window: day }'),
    'quota.yaml:6:32: plans.pro.limits.1.quota: use a whole number, null, or, of cost, money',
  ],
  [
    'an override in another unit than its limit',
    `${limited('{ name: b, unit: tokens, quota: 5, window: day }')}overrides: [{ for: { plan: pro }, limit: pro/b, quota: $5 }]\n`,
    'quota.yaml:7:49: overrides.0.quota: it counts tokens: use a whole number',
  ],
  [
    'a quota below nothing',
    limited('{ name: b, unit: tokens, quota: -1, window: day }'),
    'quota.yaml:6:34: plans.pro.limits.1.quota: use at least 0',
  ],
  [
    'a quota that is more than anybody counts',
    limited('{ name: b, unit: tokens, quota: 9007199254740991, window: day }'),
    'quota.yaml:6:34: plans.pro.limits.1.quota: use at most 4503599627370495',
  ],
  [
    'a limit without a window',
    limited('{ name: b, unit: tokens, quota: 1 }'),
    'quota.yaml:6:9: plans.pro.limits.1.window: use day',
  ],
  [
    'a window that does not exist',
    limited('{ name: b, unit: tokens, quota: 1, window: fortnight }'),
    'quota.yaml:6:44: plans.pro.limits.1.window: use day',
  ],
  [
    'a sliding window of a broken duration',
    limited('{ name: b, unit: tokens, quota: 1, window: { sliding: 1y } }'),
    'quota.yaml:6:54: plans.pro.limits.1.window.sliding: use a duration such as 250ms',
  ],
  [
    'a zone for a window that has no calendar',
    limited('{ name: b, unit: tokens, quota: 1, window: { fixed: 24h, zone: Europe/Berlin } }'),
    'quota.yaml:6:66: plans.pro.limits.1.window.zone: there is no such key',
  ],
  [
    'a zone that does not exist',
    limited('{ name: b, unit: tokens, quota: 1, window: { fixed: day, zone: Mars } }'),
    'quota.yaml:6:66: plans.pro.limits.1.window.zone: is "Mars"',
  ],
  [
    'two limits of one name',
    limited('{ name: a, unit: tokens, quota: 1, window: day }'),
    'quota.yaml:4:5: plans.pro.limits: has two limits named "a"',
  ],
  [
    'a share that is none',
    limited('{ name: b, unit: tokens, quota: 1, window: day, onUnavailable: { local: 2 } }'),
    'quota.yaml:6:74: plans.pro.limits.1.onUnavailable.local: use at most 1',
  ],
  [
    'another word for a store that is away',
    limited('{ name: b, unit: tokens, quota: 1, window: day, onUnavailable: local }'),
    'quota.yaml:6:57: plans.pro.limits.1.onUnavailable: use refuse, admit, or {local: 0.1}',
  ],
  [
    'a change at another time',
    limited('{ name: b, unit: tokens, quota: 1, window: day, onChange: { duration: later } }'),
    'quota.yaml:6:69: plans.pro.limits.1.onChange.duration: use now, next-window',
  ],
  [
    'a condition that could never hold',
    limited('{ name: b, unit: tokens, quota: 1, window: day, when: { model: [] } }'),
    'quota.yaml:6:65: plans.pro.limits.1.when.model: is []',
  ],
  [
    'a dimension that is none',
    limited('{ name: b, unit: tokens, quota: 1, window: day, per: [key, "my team"] }'),
    'quota.yaml:6:68: plans.pro.limits.1.per.1: is "my team"',
  ],
  [
    'more buckets than milliseconds',
    limited('{ name: b, unit: tokens, quota: 1, window: { sliding: 5ms, buckets: 10 } }'),
    'quota.yaml:6:68: plans.pro.limits.1.window.buckets: is 10',
  ],
  [
    'an answer that nothing gives back',
    `${LEAST}plans:\n  pro: { limits: [], count: { refundOn: [429, 3xx] } }`,
    'quota.yaml:3:47: plans.pro.count.refundOn.1: use a status from 100 to 599, 4xx, 5xx, failed or aborted',
  ],
  [
    'an assignment of nobody',
    `${LEAST}assignments:\n  - { for: {}, plans: [] }`,
    'quota.yaml:3:7: assignments.0.for: is {}: name exactly one of user, key, group',
  ],
  [
    'an assignment of a plan that is not there',
    `${LEAST}assignments:\n  - { for: { user: a }, plans: [] }\n  - { for: { user: b }, plans: [gold] }`,
    'quota.yaml:4:33: assignments.1.plans.0: is "gold": use one of none',
  ],
  [
    'an assignment to a key of another tenant',
    `${keyed('{ id: two, secret: another-long-secret, tenant: acme }')}assignments: [{ for: { key: two }, plans: [] }]`,
    'quota.yaml:6:24: assignments.0.for.key: key two is of another tenant: set tenant: acme',
  ],
  [
    'an assignment to a key that names its own plans',
    `${keyed('{ id: two, secret: another-long-secret, plans: [pro] }')}assignments: [{ for: { key: two }, plans: [] }]`,
    'quota.yaml:6:24: assignments.0.for.key: key two names its plans itself',
  ],
  [
    'an override of a limit that is not there',
    `${limited('{ name: b, unit: tokens, quota: 1, window: day }')}overrides:\n  - { for: { user: a }, limit: pro/c, quota: 2 }`,
    'quota.yaml:8:25: overrides.0.limit: is "pro/c": use plan/limit, one of pro/a, pro/b',
  ],
  [
    'an override of two kinds of callers',
    `${limited('{ name: b, unit: tokens, quota: 1, window: day }')}overrides: [{ for: { user: a, plan: pro }, limit: pro/a, quota: 2 }]`,
    'quota.yaml:7:15: overrides.0.for: is {"user":"a","plan":"pro"}: name exactly one of',
  ],
  [
    'an override until a date that is none',
    `${limited('{ name: b, unit: tokens, quota: 1, window: day }')}overrides: [{ for: { user: a }, limit: pro/a, quota: 2, until: soon }]`,
    'quota.yaml:7:57: overrides.0.until: use a date',
  ],
  [
    'a plan whose name is no name',
    `${LEAST}plans: { "my plan": { limits: [] } }`,
    'quota.yaml:2:10: plans.my plan: plans.my plan.name is "my plan"',
  ],
  [
    'a default plan that is not there',
    `${LEAST}defaultPlans: [gold]`,
    'quota.yaml:2:16: defaultPlans.0: there is no plan named "gold"',
  ],
  [
    'a plan of a key that is not there',
    keyed('{ id: two, secret: another-long-secret, plans: [pro, gold] }'),
    'quota.yaml:5:58: keys.1.plans.1: there is no plan named "gold"',
  ],
]

describe('parseConfig, of plans', () => {
  tellsPlaces(MISTAKES)
})
