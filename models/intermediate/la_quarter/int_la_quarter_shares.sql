-- One row per programme, kind of index event, authority and quarter with index events: the shares with free school
-- meals and White British among all children of the sample whose value is known (definitions, section 6).

with
index_children as (

    select * from {{ ref('int_index_children') }}

),

white_british as (

    select * from {{ ref('code_groups') }}
    where code_group = 'white_british'

),

counts as (

    select
        index_children.programme,
        index_children.index_event,
        index_children.la_code,
        index_children.quarter_start,
        sum(case when index_children.fsm_regression = 'yes' then 1 else 0 end) as n_fsm,
        sum(case when index_children.fsm_regression in ('yes', 'no') then 1 else 0 end) as n_fsm_known,
        sum(case when white_british.code is not null then 1 else 0 end) as n_white_british,
        sum(case when index_children.ethnicity is not null then 1 else 0 end) as n_ethnicity_known
    from index_children
    left join white_british on index_children.ethnicity = white_british.code
    group by
        index_children.programme, index_children.index_event, index_children.la_code, index_children.quarter_start

),

final as (

    select
        programme,
        index_event,
        la_code,
        quarter_start,
        n_fsm / cast(nullif(n_fsm_known, 0) as double) as share_fsm,
        n_white_british / cast(nullif(n_ethnicity_known, 0) as double) as share_white_british
    from counts

)

select * from final
