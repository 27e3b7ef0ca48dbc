-- Stability in care by authority and financial year of entry: placements per period of care, the share with three or
-- more, and where children were first placed. Periods that began before the data are left out, since their earlier
-- placements are unseen; a period still open has had less time to move, so the share that is open stands beside. Foster
-- care is U1 to U6, with parents or independent P1 to P3 (codes since 2015; older ones count as neither).

with
care_periods as (

    select * from {{ ref('care_periods') }}

),

periods_seen_from_their_start as (

    select
        la_code,
        {{ financial_year('care_start') }} as financial_year,
        {{ days_between('care_start', 'observed_until') }} as days_in_care,
        is_open_at_data_end,
        n_placements,
        first_placement
    from care_periods
    where not is_left_truncated

)

select
    la_code,
    financial_year,
    count(*) as n_periods,
    avg(case when is_open_at_data_end then 1.0 else 0.0 end) as share_still_open,
    avg(days_in_care) as mean_days_observed,
    avg(n_placements) as mean_placements,
    avg(case when n_placements >= 3 then 1.0 else 0.0 end) as share_three_or_more_placements,
    avg(case when first_placement like 'U%' then 1.0 else 0.0 end) as share_first_in_foster_care,
    avg(case when first_placement like 'P%' then 1.0 else 0.0 end) as share_first_with_parents_or_independent,
    sum(n_placements) / nullif(sum(days_in_care) / 365.25, 0) as placements_per_year_in_care
from periods_seen_from_their_start
group by la_code, financial_year
order by la_code, financial_year
