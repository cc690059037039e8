"""Quarry: large-scale LLM batch work on Amazon Bedrock. This is the package that its services share."""

__version__ = "0.2.0"
