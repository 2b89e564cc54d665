//! Where a graph has cycles, and the shortest of them.

use std::collections::{HashMap, HashSet, VecDeque};

use super::{Cause, Graph};

/// From how many places a tangle is searched for its shortest cycle: what keeps a broken engine's check in bounds.
const STARTS_MAX: usize = 400;

impl Graph {
    pub(super) fn outgoing(&self) -> Vec<Vec<usize>> {
        let mut outgoing = vec![Vec::new(); self.nodes];
        for (number, edge) in self.edges.iter().enumerate() {
            outgoing[edge.from].push(number);
        }
        outgoing
    }

    /// Numbers each node by its strongly connected component (Tarjan's way, without recursion).
    pub(super) fn tangles(&self, outgoing: &[Vec<usize>]) -> Vec<usize> {
        const NONE: usize = usize::MAX;
        let mut index = vec![NONE; self.nodes];
        let mut low = vec![0; self.nodes];
        let mut tangles = vec![NONE; self.nodes];
        let (mut next, mut count) = (0, 0);
        let mut open = Vec::new();
        for root in 0..self.nodes {
            if index[root] != NONE {
                continue;
            }
            // A node, and how many of its edges were followed.
            let mut path = vec![(root, 0)];
            while let Some((node, followed)) = path.pop() {
                if followed == 0 {
                    index[node] = next;
                    low[node] = next;
                    next += 1;
                    open.push(node);
                }
                if let Some(edge) = outgoing[node].get(followed) {
                    path.push((node, followed + 1));
                    let to = self.edges[*edge].to;
                    if index[to] == NONE {
                        path.push((to, 0));
                    } else if tangles[to] == NONE {
                        low[node] = low[node].min(index[to]);
                    }
                    continue;
                }
                if let Some((parent, _)) = path.last() {
                    low[*parent] = low[*parent].min(low[node]);
                }
                if low[node] == index[node] {
                    while let Some(member) = open.pop() {
                        tangles[member] = count;
                        if member == node {
                            break;
                        }
                    }
                    count += 1;
                }
            }
        }
        tangles
    }

    /// The cycle with the fewest transactions in a tangle, as its edges. What clients saw says more than what times say.
    pub(super) fn shortest(&self, nodes: &[usize], tangles: &[usize], outgoing: &[Vec<usize>]) -> Option<Vec<usize>> {
        let starts: Vec<usize> = nodes.iter().copied().filter(|node| self.is_of(*node).is_some()).collect();
        let stride = starts.len().div_ceil(STARTS_MAX).max(1);
        let best = |allowed: fn(&Cause) -> bool| {
            let inside = |edge: &usize| {
                let edge = &self.edges[*edge];
                tangles[edge.from] == tangles[edge.to] && allowed(&edge.cause)
            };
            let cycles = starts.iter().step_by(stride).filter_map(|start| self.back_to(*start, &inside, outgoing));
            cycles.min_by_key(|cycle| {
                let nodes = cycle.iter().map(|edge| self.edges[*edge].from);
                let transactions: HashSet<usize> = nodes.filter_map(|node| self.is_of(node)).collect();
                (transactions.len(), cycle.len())
            })
        };
        best(|cause| !matches!(cause, Cause::Clock | Cause::Log))
            .or_else(|| best(|cause| *cause != Cause::Log))
            .or_else(|| best(|_| true))
    }

    /// The cheapest way from a node back to it: what enters another transaction costs one, moments are free.
    fn back_to(&self, start: usize, inside: &dyn Fn(&usize) -> bool, outgoing: &[Vec<usize>]) -> Option<Vec<usize>> {
        let mut cost: HashMap<usize, usize> = HashMap::from([(start, 0)]);
        let mut by: HashMap<usize, usize> = HashMap::new();
        let mut queue = VecDeque::from([(start, 0)]);
        while let Some((node, so_far)) = queue.pop_front() {
            if cost[&node] < so_far {
                continue;
            }
            for number in outgoing[node].iter().filter(|edge| inside(edge)) {
                let to = self.edges[*number].to;
                if to == start {
                    return Some(self.way(start, *number, &by));
                }
                let step = usize::from(self.is_of(to).is_some() && self.is_of(to) != self.is_of(node));
                let total = so_far + step;
                if cost.get(&to).is_none_or(|known| total < *known) {
                    cost.insert(to, total);
                    by.insert(to, *number);
                    if step == 0 {
                        queue.push_front((to, total));
                    } else {
                        queue.push_back((to, total));
                    }
                }
            }
        }
        None
    }

    fn way(&self, start: usize, last: usize, by: &HashMap<usize, usize>) -> Vec<usize> {
        let mut way = vec![last];
        while self.edges[*way.last().expect("an edge")].from != start {
            let from = self.edges[*way.last().expect("an edge")].from;
            way.push(by[&from]);
        }
        way.reverse();
        way
    }
}
