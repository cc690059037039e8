cluster_name = "my-cluster"
