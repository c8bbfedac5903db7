"""Who may run where it is limited how many executions run at once: queues of a project and domain, exact to the log."""
