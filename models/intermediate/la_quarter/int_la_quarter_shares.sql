-- One row per programme, authority and quarter of the trial period (and the quarter before it): the shares with free
-- school meals and White British among all children of the sample whose value is known. Quarters without one are
-- interpolated linearly, ends carried (definitions, section 6).

with
index_children as (

    select * from {{ ref('int_index_children') }}

),

quarters as (

    select * from {{ ref('int_trial_quarters') }}

),

authorities as (

    select * from {{ ref('local_authorities') }}

),

white_british as (

    select * from {{ ref('code_groups') }}
    where code_group = 'white_british'

),

counts as (

    select
        index_children.programme,
        index_children.la_code,
        index_children.quarter_start,
        sum(case when index_children.fsm_regression = 'yes' then 1 else 0 end) as n_fsm,
        sum(case when index_children.fsm_regression in ('yes', 'no') then 1 else 0 end) as n_fsm_known,
        sum(case when white_british.code is not null then 1 else 0 end) as n_white_british,
        sum(case when index_children.ethnicity is not null then 1 else 0 end) as n_ethnicity_known
    from index_children
    left join white_british on index_children.ethnicity = white_british.code
    group by index_children.programme, index_children.la_code, index_children.quarter_start

),

every_quarter as (

    select
        quarters.programme,
        authorities.la_code,
        quarters.quarter_no,
        quarters.quarter_start,
        counts.n_fsm / cast(nullif(counts.n_fsm_known, 0) as double) as share_fsm,
        counts.n_white_british / cast(nullif(counts.n_ethnicity_known, 0) as double) as share_white_british
    from quarters
    cross join authorities
    left join counts
        on
            quarters.programme = counts.programme
            and authorities.la_code = counts.la_code
            and quarters.quarter_start = counts.quarter_start

),

long_form as (

    select
        programme,
        la_code,
        quarter_no,
        quarter_start,
        'fsm' as measure,
        share_fsm as share_seen
    from every_quarter

    union all

    select
        programme,
        la_code,
        quarter_no,
        quarter_start,
        'white_british' as measure,
        share_white_british as share_seen
    from every_quarter

),

runs_of_missing_quarters as (

    select
        *,
        count(share_seen) over (
            partition by programme, la_code, measure
            order by quarter_no
            rows between unbounded preceding and current row
        ) as n_seen_so_far,
        count(share_seen) over (
            partition by programme, la_code, measure
            order by quarter_no
            rows between current row and unbounded following
        ) as n_seen_from_here
    from long_form

),

nearest_seen as (

    select
        *,
        max(case when share_seen is not null then quarter_no end) over (
            partition by programme, la_code, measure, n_seen_so_far
        ) as previous_quarter_no,
        max(share_seen) over (partition by programme, la_code, measure, n_seen_so_far) as previous_share,
        max(case when share_seen is not null then quarter_no end) over (
            partition by programme, la_code, measure, n_seen_from_here
        ) as next_quarter_no,
        max(share_seen) over (partition by programme, la_code, measure, n_seen_from_here) as next_share
    from runs_of_missing_quarters

),

filled as (

    select
        programme,
        la_code,
        quarter_no,
        quarter_start,
        measure,
        case
            when share_seen is not null then share_seen
            when previous_share is null then next_share
            when next_share is null then previous_share
            else
                previous_share
                + (next_share - previous_share)
                * (quarter_no - previous_quarter_no)
                / cast(next_quarter_no - previous_quarter_no as double)
        end as share_filled,
        share_seen is null as is_filled
    from nearest_seen

),

final as (

    select
        programme,
        la_code,
        quarter_no,
        quarter_start,
        max(case when measure = 'fsm' then share_filled end) as la_share_fsm,
        bool_or(measure = 'fsm' and is_filled) as is_la_share_fsm_filled,
        max(case when measure = 'white_british' then share_filled end) as la_share_white_british,
        bool_or(measure = 'white_british' and is_filled) as is_la_share_white_british_filled
    from filled
    group by programme, la_code, quarter_no, quarter_start

)

select * from final
