"""The words of Portcullis's own notices (`portcullis.domain.notices`), for lists without a template of their own."""

# ruff: noqa: RUF001 - Chinese punctuation in Chinese texts

from __future__ import annotations

from portcullis.domain.policies import NoticeTemplate

BUILT_IN = (
    NoticeTemplate(
        "en",
        """\
{authority} has restricted you, and therefore this was refused to you: {action}.

The restriction rests on this law: {law}. It stands on the list "{list}" under the case reference {case_reference}, and it \
ends on {until} (UTC) at the latest.

If you think that it is wrong, you may object, as long as it binds you: until {objection_until} (UTC). If you ask for it, a \
person looks at your case and not a program alone. You may also see what is recorded about you, and who has asked for it. \
This is where you object:
{objection}

The restriction binds you alone, not your family or friends. Whoever has refused you this may not refuse you anything else \
because of it.""",
    ),
    NoticeTemplate(
        "zh",
        """\
{authority}已对您作出限制，因此您的以下申请被拒绝：{action}。

作出该限制的法律依据：{law}。该限制记载于“{list}”名单，案号：{case_reference}，最迟于{until}（协调世界时）终止。

如果您认为该限制有误，在限制有效期内，即{objection_until}（协调世界时）之前，您均可提出异议。经您要求，您的情况将由人工审查，\
而不是仅由程序处理。您还有权查看有关您的记录，以及何人查询过这些记录。提出异议的途径：
{objection}

该限制仅针对您本人，不涉及您的家人或朋友。拒绝您此项申请的一方，不得因此拒绝您的其他申请。""",
    ),
)
"""Where an entry refuses."""

OUT_OF_DATE = (
    NoticeTemplate(
        "en",
        """\
This was refused to you for the time being: {action}.

It does not mean that you are on a list. The list "{list}", which {authority} keeps under this law: {law}, must be asked \
first, and what is known of it here is out of date. For that case its rules say to refuse. Please try again later.

If you think that this is wrong, you may object. If you ask for it, a person looks at your case and not a program alone. \
This is where you object:
{objection}

Whoever has refused you this may not refuse you anything else because of it.""",
    ),
    NoticeTemplate(
        "zh",
        """\
您的以下申请暂时被拒绝：{action}。

这并不表示您已被列入名单。办理该申请前须先查询“{list}”名单，该名单由{authority}管理，法律依据：{law}；目前此处的名单数据已过期，\
按照该名单的规则，在这种情况下应予拒绝。请稍后再试。

如果您认为此决定有误，可以提出异议。经您要求，您的情况将由人工审查，而不是仅由程序处理。提出异议的途径：
{objection}

拒绝您此项申请的一方，不得因此拒绝您的其他申请。""",
    ),
)
"""Where a list is out of date and its fail mode refuses, without an entry."""
