// Families of the Prometheus data model (https://prometheus.io/docs/practices/naming/) from plain
// values. Pure functions.
#pragma once

#include <prometheus/metric_family.h>

#include <initializer_list>
#include <string>
#include <vector>

#include "supervisor/control/lifecycle/lifecycle.h"

namespace flodea::control {

using Label = prometheus::ClientMetric::Label;

prometheus::MetricFamily counter_family(std::string name, std::string help);
prometheus::MetricFamily gauge_family(std::string name, std::string help);
prometheus::MetricFamily histogram_family(std::string name, std::string help);
void add_counter(prometheus::MetricFamily& family, std::vector<Label> labels, double value);
void add_gauge(prometheus::MetricFamily& family, std::vector<Label> labels, double value);
void add_histogram(prometheus::MetricFamily& family, std::vector<Label> labels,
                   prometheus::ClientMetric metric);

// Agents by state, and of each running one what it uses (flodea_agent_*).
std::vector<prometheus::MetricFamily> agent_families(const std::vector<AgentView>& agents);
// Of this process (process_*), by the names every Prometheus client has. What /proc does not tell
// is left out.
std::vector<prometheus::MetricFamily> process_families();

}  // namespace flodea::control
