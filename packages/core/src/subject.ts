/**
 * Names by which calls are told apart, and their values. `tenant` is always there; `key` is the subject of an API key.
 * Others in use: user, group, project, organization, application, model, service.
 */
export type Dimensions = Readonly<Record<string, string>>

/** The tenant of everybody where nobody asked for more. */
export const DEFAULT_TENANT = 'default'

/** Whom usage is attributed to. Holds no secret: an id is a registry's id or a keyed fingerprint. */
export interface Subject {
  readonly id: string
  readonly tenant: string
  /** `registered`: known to the key registry. `anonymous`: no credential was presented. */
  readonly standing: 'registered' | 'unregistered' | 'anonymous'
  readonly dimensions: Dimensions
  /** The plans that the registry assigns, by name; absent leaves it to the plan source. */
  readonly plans?: readonly string[] | undefined
  /** Groups that it is in, for assignments and overrides, beside the dimension `group`, which reports go by. */
  readonly groups?: readonly string[] | undefined
}

/** What is known of a call beside its subject, as far as a limit can depend on it. */
export interface CallFacts {
  readonly model?: string | undefined
  readonly service?: string | undefined
  /** Path below the mount point, without the query. */
  readonly route?: string | undefined
}
