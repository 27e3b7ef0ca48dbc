-- One row per authority, return year and kind of count, with its change on the year before in standard deviations.
-- The change is the logarithm of the ratio of the two counts, less the median change of all authorities that year where
-- there are enough of them. Its variance is that of two Poisson counts plus what changes vary beyond that, by the
-- method of moments with weights (the additive overdispersion of Spiegelhalter 2005, Quality and Safety in Health Care
-- 14: 347-351), over every other change of that kind but those next to it in time: a count out of line makes two large
-- changes, there and back, and neither may set its own measure (docs/data_quality.md).

with
counts as (

    select * from {{ ref('int_quality_counts') }}

),

rules as (

    select
        max(case when parameter = 'quality_jump_sd' then parameter_value end) as jump_sd,
        max(case when parameter = 'quality_jump_ratios_min' then parameter_value end) as ratios_min,
        max(case when parameter = 'quality_jump_authorities_min' then parameter_value end) as authorities_min
    from {{ ref('parameters') }}
    where programme = '*'

),

counts_with_previous as (

    select
        kind,
        la_code,
        return_year,
        n_events,
        case
            when lag(return_year) over (partition by kind, la_code order by return_year) = return_year - 1
                then lag(n_events) over (partition by kind, la_code order by return_year)
        end as n_events_before
    from counts

),

changes as (

    -- Half an event more on either side keeps a count of zero finite.
    select
        *,
        ln((n_events + 0.5) / (n_events_before + 0.5)) as log_ratio,
        1 / (n_events + 0.5) + 1 / (n_events_before + 0.5) as poisson_variance
    from counts_with_previous
    where n_events_before is not null

),

common_changes as (

    select
        changes.kind,
        changes.return_year,
        case
            when count(*) >= max(rules.authorities_min)
                then percentile_cont(0.5) within group (order by changes.log_ratio)
            else 0
        end as common_log_ratio
    from changes
    cross join rules
    group by changes.kind, changes.return_year

),

own_changes as (

    -- Decimals, so that sums do not depend on the order of rows.
    select
        changes.*,
        common_changes.common_log_ratio,
        changes.log_ratio - common_changes.common_log_ratio as own_log_ratio,
        cast(
            (changes.log_ratio - common_changes.common_log_ratio)
            * (changes.log_ratio - common_changes.common_log_ratio)
            / changes.poisson_variance as decimal(28, 9)
        ) as squared_z,
        cast(1 / changes.poisson_variance as decimal(28, 9)) as weight
    from changes
    inner join common_changes
        on changes.kind = common_changes.kind and changes.return_year = common_changes.return_year

),

sums_of_other_changes as (

    -- All changes of the kind, less its own and those of the authority in the years before and after.
    select
        *,
        sum(squared_z) over (partition by kind) - sum(squared_z) over near_changes as squared_z_of_others,
        sum(weight) over (partition by kind)
        - sum(weight) over near_changes
            as weight_of_others,
        count(*) over (partition by kind)
        - count(*) over near_changes
            as n_other_changes
    from own_changes
    window near_changes as (
        partition by kind, la_code order by return_year range between 1 preceding and 1 following
    )

),

changes_measured as (

    select
        *,
        cast(
            own_log_ratio / sqrt(
                poisson_variance
                + greatest(0, cast((squared_z_of_others - n_other_changes) / nullif(weight_of_others, 0) as double))
            ) as decimal(18, 6)
        ) as change_in_sd
    from sums_of_other_changes

),

final as (

    select
        counts_with_previous.kind,
        counts_with_previous.la_code,
        counts_with_previous.return_year,
        counts_with_previous.n_events,
        counts_with_previous.n_events_before,
        cast(
            round(counts_with_previous.n_events_before * exp(changes_measured.common_log_ratio), 0) as bigint
        ) as n_expected,
        case
            when changes_measured.n_other_changes >= rules.ratios_min then cast(changes_measured.change_in_sd as double)
        end as change_in_sd,
        case
            when changes_measured.n_other_changes >= rules.ratios_min
                then abs(changes_measured.change_in_sd) > rules.jump_sd
        end as is_jump
    from counts_with_previous
    cross join rules
    left join changes_measured
        on
            counts_with_previous.kind = changes_measured.kind
            and counts_with_previous.la_code = changes_measured.la_code
            and counts_with_previous.return_year = changes_measured.return_year

)

select * from final
