"""Finding models on the Hub, with a plan for each variant before anything is downloaded."""
