region = "us-east-1"
models = ["anthropic.claude-3-haiku-20240307-v1:0", "amazon.titan-embed-text-v2:0"]

image_tag          = "0.2.0"
availability_zones = ["us-east-1a", "us-east-1b"]
