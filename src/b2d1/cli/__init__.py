"""The local runner: the same code as the Lambda's, from a terminal, a cron job or a workflow."""
