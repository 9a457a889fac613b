/**
 * The one table from error code to problem document: status, whether the same call may succeed
 * later, and a title in both languages. Exhaustive by type: a new code does not compile without a row.
 */
import type { ErrorCode } from '../errors.ts';

/** `later` marks codes whose same call may succeed after a wait, so a client may retry by itself. */
export interface ProblemRow {
  readonly status: 400 | 401 | 403 | 404 | 409 | 410 | 413 | 422 | 429 | 500 | 502 | 503;
  readonly retryable: boolean;
  readonly title: string;
  readonly titleZh: string;
}

const final = (status: ProblemRow['status'], title: string, titleZh: string): ProblemRow => ({
  status,
  retryable: false,
  title,
  titleZh,
});

const later = (status: ProblemRow['status'], title: string, titleZh: string): ProblemRow => ({
  status,
  retryable: true,
  title,
  titleZh,
});

export const PROBLEM_TABLE: Readonly<Record<ErrorCode, ProblemRow>> = {
  // input
  'malformed-message': final(
    400,
    'The message does not have the agreed form',
    '消息格式不符合约定',
  ),
  'invalid-json': final(400, 'The body is not valid JSON', '请求正文不是有效的 JSON'),
  'body-too-large': final(413, 'The body is larger than allowed', '请求正文超出大小上限'),
  'frame-too-large': final(413, 'A frame is larger than allowed', '数据帧超出大小上限'),
  'set-too-large': final(413, 'The set has more elements than allowed', '集合元素数量超出上限'),
  'too-many-cells': final(
    422,
    'The plan has more cells than allowed',
    '计算方案的单元格数量超出上限',
  ),
  'query-not-supported': final(422, 'This kind of query is not supported', '不支持此类查询'),
  'dataset-unknown': final(422, 'No such dataset', '数据集不存在'),
  'column-unknown': final(422, 'No such column', '列不存在'),
  'parameter-invalid': final(422, 'A parameter is outside its range', '参数超出允许范围'),
  'overflow-possible': final(
    422,
    'The totals could exceed the number range',
    '合计值可能超出数值范围',
  ),
  'idempotency-key-missing': final(
    400,
    'The Idempotency-Key is missing',
    '缺少幂等键（Idempotency-Key）',
  ),
  // identity
  'credential-missing': final(401, 'A token is needed', '需要访问令牌'),
  'credential-invalid': final(401, 'The token is not valid', '访问令牌无效'),
  'credential-expired': final(401, 'The token has expired', '访问令牌已过期'),
  'scope-insufficient': final(403, 'The token does not allow this', '访问令牌权限不足'),
  'party-not-in-contract': final(403, 'The party is not in the contract', '该参与方不在合约中'),
  'party-not-pinned': final(403, 'A party’s key is not pinned', '参与方的密钥尚未固定信任'),
  'signature-invalid': final(403, 'A signature is not valid', '签名无效'),
  'signature-missing': final(403, 'A signature is missing', '缺少签名'),
  'enrolment-token-invalid': final(401, 'The enrolment token is not valid', '登记令牌无效'),
  'enrolment-token-expired': final(401, 'The enrolment token has expired', '登记令牌已过期'),
  // state
  'route-unknown': final(404, 'No such route', '接口不存在'),
  'run-unknown': final(404, 'No such run', '运行任务不存在'),
  'contract-unknown': final(404, 'No such contract', '合约不存在'),
  'contract-not-active': final(409, 'The contract is not active', '合约未生效'),
  'round-mismatch': final(409, 'A message came in the wrong round', '消息轮次不匹配'),
  'idempotency-conflict': final(
    422,
    'The Idempotency-Key was used with another body',
    '幂等键已用于其他请求内容',
  ),
  'run-cancelled': final(409, 'The run was cancelled', '运行任务已取消'),
  'result-expired': final(410, 'The result’s retention has ended', '结果的保存期已结束'),
  'result-not-ready': later(409, 'The run has not ended yet', '运行任务尚未结束'),
  'request-replayed': final(409, 'The request was used before', '该请求已被使用过'),
  'request-expired': final(422, 'The request has expired', '请求已过期'),
  'party-set-changed': final(409, 'The set of parties changed', '参与方集合已改变'),
  'descriptor-mismatch': final(409, 'The run descriptor does not match', '运行描述不一致'),
  'history-rolled-back': final(409, 'A counter went back in time', '计数器历史被回滚'),
  'already-exists': final(409, 'It exists already', '对象已存在'),
  // policy
  'contract-revoked': final(403, 'The contract was revoked', '合约已撤销'),
  'contract-expired': final(403, 'The contract has expired', '合约已到期'),
  'plan-outside-contract': final(422, 'The plan is outside the contract', '计算方案超出合约范围'),
  'grade-forbids-protocol': final(
    403,
    'The data grade forbids this protocol',
    '数据级别不允许使用该协议',
  ),
  'column-usage-forbids': final(403, 'A column may not be used like this', '该列不允许如此使用'),
  'cell-too-small': final(422, 'Too few units stand behind the answer', '结果涉及的主体数量过少'),
  'parties-below-minimum': final(422, 'Fewer parties than the minimum', '参与方数量低于下限'),
  'dataset-drifted': final(422, 'The dataset is not the agreed version', '数据集版本与约定不符'),
  'refused-by-officer': final(403, 'The data officer refused', '数据管理员已拒绝'),
  'noise-required': final(422, 'This answer needs noise', '该结果必须加入噪声'),
  // metering
  'quota-exceeded': final(429, 'The quota is used up', '配额已用尽'),
  'rate-limited': later(429, 'Too many calls', '请求过于频繁'),
  'contract-counter-exhausted': final(
    429,
    'The domain’s own run counter is used up',
    '数据域自身的运行计数已用尽',
  ),
  // abort
  'transcript-mismatch': final(502, 'The parties saw different messages', '各方消息记录不一致'),
  'tag-mismatch': final(502, 'A check value does not match', '校验值不匹配'),
  'domain-left': final(502, 'A domain left during the run', '数据域在运行中退出'),
  'domain-unreachable': later(502, 'A domain is not connected', '数据域未连接'),
  'domain-failed': final(502, 'A domain failed', '数据域发生故障'),
  'analyst-left': final(502, 'The analyst left during the run', '分析方在运行中退出'),
  'run-timed-out': final(502, 'The run took too long', '运行超时'),
  'gateway-restarted': later(502, 'The gateway restarted during the run', '网关在运行期间重启'),
  'decryption-failed': final(502, 'A ciphertext could not be opened', '密文无法解密'),
  // capacity
  'queue-full': later(503, 'The gateway is busy', '网关繁忙'),
  'shutting-down': later(503, 'The gateway is shutting down', '网关正在关闭'),
  'disk-full': later(503, 'The gateway’s disk is full', '网关磁盘已满'),
  'store-unavailable': later(503, 'The gateway’s store does not answer', '网关存储不可用'),
  // setup: never an answer to a well-meant call, but a service may meet one late
  'config-invalid': final(500, 'The configuration is not valid', '配置无效'),
  'config-missing': final(500, 'The configuration is missing', '缺少配置'),
  'port-taken': final(500, 'The port is taken', '端口已被占用'),
  'tls-required': final(500, 'TLS is required', '必须启用 TLS'),
  'source-missing': final(500, 'The data source is missing', '数据源缺失'),
  'source-unreadable': final(500, 'The data source cannot be read', '数据源无法读取'),
  'key-unreadable': final(500, 'A key file cannot be read', '密钥文件无法读取'),
  'peer-mismatch': final(500, 'The peer is not the expected one', '对端身份与预期不符'),
  // invariant
  internal: final(500, 'Internal error', '内部错误'),
};
