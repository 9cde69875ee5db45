"""What counts as a credential: by its name, by its form, and what only looks like one."""

import pytest

from midband.text import (
    arguments_without_credentials,
    is_credential_name,
    settings_without_credentials,
    without_credentials,
)


def words(text: str) -> list[str]:
    return text.split()


CREDENTIALS = words(
    """
    --api-key api_key apiKey OPENAI_API_KEY AZURE_OPENAI_KEY X-API-Key APIKEY api_keys token
    HF_TOKEN hf-token githubToken auth_token session_token access_token secret client_secret
    AWS_SECRET_ACCESS_KEY AWS_ACCESS_KEY_ID password --password db_password Authorization
    GITHUB_PAT
    """
)
OTHERS = words(
    """
    max_tokens --max-tokens max-new-tokens n_tokens tokens tokenizer tokenized token_limit
    token_id pad_token eosToken stop_token tokens_per_second key task_key primary_key
    sort_key keyword monkey model temperature patience path compat api api_base secretary
    author auth_type metric.key id
    """
)


def test_names() -> None:
    assert [name for name in CREDENTIALS if not is_credential_name(name)] == []
    assert [name for name in OTHERS if is_credential_name(name)] == []


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("--model_args=model=m,api_key=abc-1,n=3", "--model_args=model=m,api_key=***,n=3"),
        ('{"api_key": "a,b", "n": 3}', '{"api_key": "***", "n": 3}'),
        ("kwargs={'token':'x'}", "kwargs={'token':'***'}"),
        ("api_key: x", "api_key: ***"),
        ("model=sk-proj-abcd", "model=***"),
        ("https://me:word@host/x?token=y&n=1", "https://***@host/x?token=***&n=1"),
        ("send Bearer abcdef123", "send Bearer ***"),
        ("ghp_0123456789abcdef and hf_0123456789abcdef", "*** and ***"),
        ("task-1 ask-first disk-usage openai/gpt-5 sk_learn", None),
        ("max_tokens=4096,tokenizer=x", None),
        ("http://host:80/a", None),
        ("a=b=" * 9_999, None),
    ],
)
def test_texts(text: str, shown: str | None) -> None:
    assert without_credentials(text) == (text if shown is None else shown)


def test_command_lines() -> None:
    words = ["--api-key", "X", "--n", "3", "--token", "--json", "-e", "A_KEY=1", "--api-key=Y"]
    assert arguments_without_credentials(words) == (
        *("--api-key", "***", "--n", "3", "--token", "--json", "-e", "A_KEY=1", "--api-key=***"),
    )


def test_settings() -> None:
    settings = {
        "api_key": "x",
        "model_args": {"token": "y", "max_tokens": 3, "headers": [{"Authorization": "z"}]},
        "command": ["run", "--api-key", "k", "sk-abcdef"],
        "text": "api_key=z",
        "temperature": 0.5,
    }
    assert settings_without_credentials(settings) == {
        "model_args": {"max_tokens": 3, "headers": [{}]},
        "command": ["run", "--api-key", "***", "***"],
        "text": "api_key=***",
        "temperature": 0.5,
    }
