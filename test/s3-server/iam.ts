// IAM policies: what a credential may do, as AWS evaluates identity policies: an explicit Deny wins, else an Allow is needed.
// Of the language there is what policies for S3 are written in; the rest is an error when the policy is set, because a
// condition that is not understood would silently allow or deny. AWS: "IAM JSON policy elements reference".

export interface PolicyDocument {
  readonly Version: string;
  readonly Statement: readonly Statement[];
}

interface Statement {
  readonly Sid?: string;
  readonly Effect: 'Allow' | 'Deny';
  readonly Action: string | readonly string[];
  readonly Resource: string | readonly string[];
  readonly Condition?: Readonly<Record<string, Readonly<Record<string, string | readonly string[]>>>>;
}

export type Permission =
  | {
      readonly action: string;
      readonly bucket: string;
      /** Empty: it is about the bucket. */
      readonly key: string;
      readonly context?: Readonly<Record<string, string>>;
    }
  /** S3 uses a key of KMS in the requester's name. */
  | { readonly action: 'kms:GenerateDataKey' | 'kms:Decrypt'; readonly kmsKey: string };

/** A permission in the words of policies. */
export interface Ask {
  readonly action: string;
  readonly arn: string;
  /** Values of condition keys, as far as the request has them. */
  readonly context: Readonly<Record<string, string>>;
}

type Matches = (ask: Ask) => boolean;

const elements = new Set(['Sid', 'Effect', 'Action', 'Resource', 'Condition']);

/** Names it as policies do. */
export function askFor(permission: Permission, region: string, accountId: string): Ask {
  const partition = partitionOf(region);
  const { action } = permission;
  if ('bucket' in permission) {
    const { bucket, key, context = {} } = permission;
    return { action, arn: `arn:${partition}:s3:::${bucket}${key === '' ? '' : `/${key}`}`, context };
  }
  const key = permission.kmsKey.replace(/^arn:.*?:(?=alias\/|key\/)/, '');
  const [, alias] = /^(alias\/.+)$/.exec(key) ?? [];
  // A policy names keys, never aliases: there is only a condition on them.
  const id = alias === undefined ? key.replace(/^key\//, '') : `of-${alias.replaceAll('/', '-')}`;
  return {
    action,
    arn: `arn:${partition}:kms:${region}:${accountId}:key/${id}`,
    context: {
      'kms:ViaService': `s3.${region}.amazonaws.com`,
      ...(alias !== undefined && { 'kms:ResourceAliases': alias }),
    },
  };
}

function partitionOf(region: string): string {
  if (region.startsWith('cn-')) return 'aws-cn';
  return region.startsWith('us-gov-') ? 'aws-us-gov' : 'aws';
}

const compiled = new WeakMap<PolicyDocument, Matches>();

/** Compiles a policy, once. @throws when it is none, or says what this does not understand */
export function compilePolicy(policy: PolicyDocument): Matches {
  let matches = compiled.get(policy);
  if (matches === undefined) compiled.set(policy, (matches = compile(policy)));
  return matches;
}

function compile(policy: PolicyDocument): Matches {
  if (policy.Version !== '2012-10-17') throw new Error(`policy: Version ${policy.Version}`);
  const statements = policy.Statement.map((statement) => ({
    effect: statement.Effect,
    matches: compileStatement(statement),
  }));
  const some = (effect: Statement['Effect'], ask: Ask) =>
    statements.some((statement) => statement.effect === effect && statement.matches(ask));
  return (ask) => some('Allow', ask) && !some('Deny', ask);
}

function compileStatement(statement: Statement): Matches {
  const unknown = Object.keys(statement).filter((name) => !elements.has(name));
  if (unknown.length > 0) throw new Error(`policy: ${unknown.join(', ')} is not understood`);
  if (statement.Effect !== 'Allow' && statement.Effect !== 'Deny') throw new Error('policy: no Effect');
  const actions = list(statement.Action).map((action) => wildcards(action.toLowerCase()));
  const resources = list(statement.Resource).map(wildcards);
  const conditions = Object.entries(statement.Condition ?? {}).map(compileCondition);
  return (ask) =>
    actions.some((action) => action.test(ask.action.toLowerCase())) &&
    resources.some((resource) => resource.test(ask.arn)) &&
    conditions.every((holds) => holds(ask));
}

function list(value: string | readonly string[]): readonly string[] {
  const values = typeof value === 'string' ? [value] : value;
  if (!Array.isArray(values) || values.length === 0) throw new Error('policy: an empty element');
  return values;
}

/** A key that the request does not have makes the positive operators false, and the negated ones true. */
function compileCondition([operator, keys]: [
  string,
  Readonly<Record<string, string | readonly string[]>>,
]): Matches {
  const [, any, negated, kind] = /^(ForAnyValue:)?String(Not)?(Equals|Like)$/.exec(operator) ?? [];
  if (kind === undefined || (any && negated))
    throw new Error(`policy: condition ${operator} is not understood`);
  const tests = Object.entries(keys).map(([key, values]) => {
    const patterns = list(values).map((value) => (kind === 'Like' ? wildcards(value) : literal(value)));
    return ({ context }: Ask) => {
      const value = context[key];
      const matches = value !== undefined && patterns.some((pattern) => pattern.test(value));
      return matches !== (negated !== undefined);
    };
  });
  return (ask) => tests.every((holds) => holds(ask));
}

/** `*` and `?`; the characters themselves are written `${*}`, `${?}` and `${$}`. */
function wildcards(pattern: string): RegExp {
  const source = pattern.replaceAll(/\$\{([*?$])\}|\*|\?|[^]/gu, (part, escaped: string | undefined) => {
    if (escaped !== undefined) return escape(escaped);
    if (part === '$') throw new Error(`policy: a variable in ${pattern} is not understood`);
    return part === '*' ? '.*' : part === '?' ? '.' : escape(part);
  });
  return new RegExp(`^${source}$`, 'su');
}

function literal(value: string): RegExp {
  return new RegExp(`^${escape(value)}$`, 'su');
}

function escape(text: string): string {
  return text.replaceAll(/[\\^$.*+?()[\]{}|]/g, String.raw`\$&`);
}
